"""What a classifier confuses on the test images, which no trial is selected by."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import confusion_matrix, f1_score

from llmpso.data.images.image_set import ImageSet, Labels

MOST_SHOWN = 12
"""Mistakes that a page shows."""


def classifier_records(images: ImageSet, model: Any) -> dict[str, dict[str, Any]]:
    """Confusion matrix and surest mistakes on the test images, for `llmpso.pages.model_charts`.

    Args:
        images: The data.
        model: Takes raw images, as the model that serves does.
    """
    names, test = images.class_names, images.test
    shares = np.asarray(model.predict(test.pixels)[list(names)], dtype=np.float64)
    guesses = shares.argmax(axis=1)
    confusion = class_confusion(test.labels, guesses, names)
    wrong = np.flatnonzero(guesses != test.labels)
    surest = wrong[np.argsort(-shares[wrong].max(axis=1), kind="stable")][:MOST_SHOWN]
    shown = [
        {
            "true": names[test.labels[place]],
            "predicted": names[guesses[place]],
            "png": _png(test.pixels[place]),
        }
        for place in surest
    ]
    return {
        "confusion.json": {"classes": list(names), "test": confusion},
        "mistakes.json": {"total": len(wrong), "images": shown},
    }


def class_confusion(labels: Labels, guesses: Labels, names: Sequence[str]) -> list[list[int]]:
    """Images by true class (rows) and predicted class (columns)."""
    counts: list[list[int]] = confusion_matrix(labels, guesses, labels=range(len(names))).tolist()
    return counts


def macro_f1(labels: Labels, guesses: Labels, names: Sequence[str]) -> float:
    """Mean F1 over the classes, each counting the same; 0 for one never met nor predicted."""
    classes = range(len(names))
    return float(f1_score(labels, guesses, labels=classes, average="macro", zero_division=0))


def _png(pixels: NDArray[np.uint8]) -> str:
    """Pixels, shape (height, width, channels), as base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
