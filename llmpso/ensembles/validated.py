"""What models predict of the validation data, in two halves: one selects, the other decides."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from llmpso.ensembles.greedy import Loss
from llmpso.errors import DataError
from llmpso.space import Floats
from llmpso.text import plural

Rows = NDArray[np.int64]

LEAST = 10
"""Samples of a half; with fewer nothing is decided."""

_MUST = (
    "it must return predictions and targets: numbers for numbers, or a row of probabilities, one "
    "per class, for each index of a class"
)


@dataclass(frozen=True, slots=True, eq=False)
class Validated:
    """Predictions of one model, and the truth.

    Raises:
        DataError: They do not fit each other, or are too few.
    """

    predictions: Floats
    """Shape (n_samples,), or probabilities of classes, shape (n_samples, n_classes)."""
    targets: Floats
    """Shape (n_samples,): numbers, oldest first, or indices of classes."""

    def __post_init__(self) -> None:
        """Refuse what cannot be averaged or compared."""
        found, truth = self.predictions, self.targets
        if truth.ndim != 1 or found.ndim not in (1, 2) or len(found) != len(truth):
            raise DataError(
                f"validated(model) returned shapes {found.shape} and {truth.shape}; {_MUST}"
            )
        if not (np.isfinite(found).all() and np.isfinite(truth).all()):
            raise DataError("validated(model) returned a number that is not finite")
        if self.are_classes and not set(truth) <= set(range(found.shape[1])):
            raise DataError(f"validated(model): {max(truth):g} is no index of a class; {_MUST}")
        if len(truth) < 2 * LEAST:
            raise DataError(
                f"the validation data has {plural(len(truth), 'sample')}; an ensemble needs "
                f"{2 * LEAST}"
            )

    @classmethod
    def of(cls, returned: Any) -> Self:
        """What an objective's `validated` returned: predictions and targets, also of torch.

        Raises:
            DataError: It is something else.
        """
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            raise DataError(f"validated(model) returned a {type(returned).__name__}; {_MUST}")
        try:
            predictions, targets = map(_numbers, returned)
        except (TypeError, ValueError) as error:
            raise DataError(f"validated(model) returned what is no array; {_MUST}") from error
        return cls(predictions, targets)

    @property
    def are_classes(self) -> bool:
        """Whether the predictions are probabilities of classes."""
        return self.predictions.ndim == 2

    def halves(self) -> tuple[Rows, Rows]:
        """The samples that select an ensemble, and those that decide whether it is better.

        Of numbers the earlier and the later half, since neighbours in time are alike; of classes
        every other sample of each.
        """
        if not self.are_classes:
            rows = np.arange(len(self.targets))
            return rows[: len(rows) // 2], rows[len(rows) // 2 :]
        ordered = np.argsort(self.targets, kind="stable")
        return np.sort(ordered[::2]), np.sort(ordered[1::2])

    def loss(self, rows: Rows) -> Loss:
        """The loss of predictions for some of the samples.

        Root mean squared error of numbers; of classes the share of errors, and the logarithmic
        loss between equals.
        """
        return (_class_loss if self.are_classes else _number_loss)(self.targets[rows])

    @property
    def total(self) -> float:
        """The loss of the model on all samples."""
        return self.loss(np.arange(len(self.targets)))(self.predictions)[0]


def _number_loss(targets: Floats) -> Loss:
    return lambda found: (float(np.sqrt(np.square(found - targets).mean())),)


def _class_loss(targets: Floats) -> Callable[[Floats], tuple[float, ...]]:
    labels = targets.astype(np.int64)
    places = np.arange(len(labels))

    def loss(found: Floats) -> tuple[float, ...]:
        of_truth = np.clip(found[places, labels], np.finfo(np.float64).tiny, None)
        return float((found.argmax(axis=1) != labels).mean()), float(-np.log(of_truth).mean())

    return loss


def _numbers(returned: Any) -> Floats:
    is_tensor = hasattr(returned, "detach")  # of torch
    plain = returned.detach().cpu() if is_tensor else returned
    return np.asarray(plain, dtype=np.float64)
