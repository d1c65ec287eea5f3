"""What a tracking store is told of the data that an objective trains on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from llmpso.errors import SpecError


@dataclass(frozen=True, slots=True)
class Dataset:
    """The identity of a data set: none of its rows."""

    name: str
    source: str
    """Where it comes from: a file, an address or a sentence."""
    digest: str
    """Equal for equal content; of a long hash the first 36 characters count."""
    n_rows: int
    columns: Mapping[str, str] = field(default_factory=dict)
    """Type of each column, as numpy names it."""
    shape: tuple[int, ...] = ()
    """Of one row, where it is an array and has no columns."""
    dtype: str = "float32"
    """Of such an array."""
    split: Mapping[str, int] = field(default_factory=dict)
    """Rows of each part: training, validation, test."""

    def __post_init__(self) -> None:
        """Refuse what identifies nothing."""
        for name in ("name", "digest"):
            if not getattr(self, name):
                raise SpecError(f"{name} of a data set is empty; it must identify the data")
        if self.n_rows < 0:
            raise SpecError(f"n_rows of data set {self.name!r} is {self.n_rows}; at least 0")


@runtime_checkable
class SupportsDataset(Protocol):
    """An objective that says which data it trains on; a plain function's module may say it."""

    def describe_data(self) -> "Dataset | Any":
        """The data: a `Dataset`, a data set of `mlflow.data`, or None if it is not known."""
        ...
