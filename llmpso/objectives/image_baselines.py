"""What a tuned classifier must beat: the most frequent class, and a linear model of the pixels."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from threadpoolctl import threadpool_limits

from llmpso.data.images.image_set import ImageSet, LabelledImages

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse strengths, on pixels in units of their standard deviation."""

MAX_ITERATIONS = 100

Guesses = NDArray[np.int64]


def image_baselines(images: ImageSet) -> dict[str, dict[str, float]]:
    """Accuracy of both on the images that a network is evaluated on.

    The linear model may choose by validation how strongly it is penalised.
    """
    parts = {"validation_accuracy": images.validation, "test_accuracy": images.test}
    majority, linear = np.bincount(images.train.labels).argmax(), _best_linear(images)
    return {
        "majority class": {
            name: float(np.mean(part.labels == majority)) for name, part in parts.items()
        },
        "linear": {
            name: float(accuracy_score(parts[name].labels, guesses))
            for name, guesses in linear.items()
        },
    }


def _best_linear(images: ImageSet) -> dict[str, Guesses]:
    """Guesses by part, of the penalty with the highest accuracy on validation."""
    train = _flat(images.train)
    mean, deviation = train.mean(axis=0), train.std(axis=0) + 1.0
    inputs = {
        "validation_accuracy": (_flat(images.validation) - mean) / deviation,
        "test_accuracy": (_flat(images.test) - mean) / deviation,
    }
    fitted = []
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # With so many pixels it never quite converges; more iterations gain almost nothing.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for penalty in PENALTIES:
            model = LogisticRegression(C=penalty, max_iter=MAX_ITERATIONS)
            model.fit((train - mean) / deviation, images.train.labels)
            fitted.append({name: model.predict(part) for name, part in inputs.items()})
    truth = images.validation.labels
    return max(fitted, key=lambda guesses: accuracy_score(truth, guesses["validation_accuracy"]))


def _flat(images: LabelledImages) -> NDArray[np.float32]:
    return images.pixels.reshape(len(images), -1).astype(np.float32)
