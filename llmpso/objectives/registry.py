"""Objectives by name or import path: a specification small enough to travel to any worker."""

import importlib
import os
import sys
from dataclasses import dataclass
from functools import lru_cache

from llmpso.data.air_quality import load_taiwan
from llmpso.data.series import load_csv
from llmpso.errors import SpecError
from llmpso.objectives.base import DescribedObjective
from llmpso.objectives.lstm import LSTMObjective


@dataclass(frozen=True, slots=True)
class ObjectiveSpec:
    """What to tune, on which data."""

    name: str = "lstm"
    """`lstm`, or `package.module:attribute` for an objective of your own."""
    csv: str | None = None
    """Series to forecast; None for the air quality that ships with a package."""
    target: str | None = None
    """Column of the file to forecast."""
    horizon: int = 6
    """Rows from the last observation to the forecast."""
    where: tuple[str, ...] = ()
    """Rows of the file to keep, each as `COLUMN=VALUE`."""
    max_missing: float = 0.1
    """Largest share of missing target values."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.csv is not None and self.target is None:
            raise SpecError(f"target is missing; name the column of {self.csv!r} to forecast")
        if self.csv is None and (self.target is not None or self.where):
            raise SpecError("target and where are columns of a file; name it with csv")
        if not 0 <= self.max_missing < 1:
            raise SpecError(f"max_missing is {self.max_missing!r}; it must lie in [0, 1)")
        for condition in self.where:
            if "=" not in condition:
                raise SpecError(f"where is {condition!r}; it must read COLUMN=VALUE")


@lru_cache(maxsize=8)
def build_objective(spec: ObjectiveSpec) -> DescribedObjective:
    """The objective of a specification; built, and its data loaded, once per process.

    Raises:
        SpecError: There is no such objective.
        DataError: Its data cannot be used.
    """
    if spec.name == "lstm":
        return _lstm(spec)
    if ":" in spec.name:
        return _imported(spec.name)
    raise SpecError(
        f"objective is {spec.name!r}; it must be 'lstm', or 'package.module:attribute' "
        "for an objective of your own"
    )


def _lstm(spec: ObjectiveSpec) -> LSTMObjective:
    if spec.csv is None or spec.target is None:
        return LSTMObjective(load_taiwan(), horizon=spec.horizon)
    conditions = dict(condition.split("=", 1) for condition in spec.where)
    series = load_csv(spec.csv, spec.target, where=conditions, max_missing=spec.max_missing)
    return LSTMObjective(series, horizon=spec.horizon)


def _imported(path: str) -> DescribedObjective:
    """The attribute that an import path names, from the working directory too."""
    module_name, _, attribute = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise SpecError(f"objective {path!r} cannot be imported: {error}") from error
    objective = found() if isinstance(found, type) else found
    if not isinstance(objective, DescribedObjective):
        raise SpecError(
            f"objective {path!r} is a {type(objective).__name__}; it must have evaluate, name, "
            "metric, description and space"
        )
    return objective
