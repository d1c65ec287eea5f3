"""The losses by which two models are compared: those of data that no trial was chosen by."""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from llmpso.errors import DataError, SpecError
from llmpso.space import Floats


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Losses of one model on data that no trial was chosen by."""

    losses: Floats
    """Shape (n_samples,), oldest first; lower is better."""
    block: int = 1
    """Neighbouring samples whose losses are correlated."""
    squared: bool = False
    """Whether losses are squared errors: the error is the root of their mean, else the mean."""

    def __post_init__(self) -> None:
        """Refuse what cannot be compared."""
        if self.losses.ndim != 1 or not np.isfinite(self.losses).all():
            raise DataError("held-out losses must be one finite number per sample")
        if self.block < 1:
            raise SpecError(f"block is {self.block!r}; it must be at least 1 sample")

    @classmethod
    def of(cls, returned: Any) -> Self:
        """What an objective's `held_out` returned: such losses, or plain numbers, oldest first.

        Raises:
            DataError: It is neither.
        """
        if isinstance(returned, cls):
            return returned
        is_tensor = hasattr(returned, "detach")  # of torch
        plain = returned.detach().cpu() if is_tensor else returned
        try:
            losses = np.asarray(plain, dtype=np.float64).ravel()
        except (TypeError, ValueError) as error:
            raise DataError(
                f"held_out(model) returned a {type(returned).__name__}; it must return the losses "
                "of the model, one number per sample, oldest first"
            ) from error
        if not len(losses):
            raise DataError("held_out(model) returned no losses; it must return one per sample")
        return cls(losses)

    @property
    def error(self) -> float:
        """The error of the model, in the unit of the metric."""
        mean = float(self.losses.mean())
        return math.sqrt(mean) if self.squared else mean
