"""Objectives by name or import path: a specification small enough to travel to any worker."""

import importlib
import os
import sys
from dataclasses import dataclass, replace
from functools import lru_cache

from llmpso.data.air_quality import load_taiwan
from llmpso.data.series import TimeSeries, load_csv
from llmpso.errors import SpecError
from llmpso.objectives.base import DescribedObjective
from llmpso.objectives.function import function_objective
from llmpso.objectives.lstm import LSTMObjective
from llmpso.space_file import load_space


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
    last: int | None = None
    """Newest rows of the series to use; all of them if None."""
    space_file: str | None = None
    """Space of a plain function, as YAML or Python."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.csv is not None and self.target is None:
            raise SpecError(f"target is missing; name the column of {self.csv!r} to forecast")
        if self.csv is None and (self.target is not None or self.where):
            raise SpecError("target and where are columns of a file; name it with csv")
        if not 0 <= self.max_missing < 1:
            raise SpecError(f"max_missing is {self.max_missing!r}; it must lie in [0, 1)")
        if self.last is not None and self.last < 1:
            raise SpecError(f"last is {self.last!r}; it must be at least 1 row")
        if self.space_file is not None and ":" not in self.name:
            raise SpecError(
                f"space_file is for a function of your own; {self.name!r} brings its space"
            )
        for condition in self.where:
            if "=" not in condition:
                raise SpecError(f"where is {condition!r}; it must read COLUMN=VALUE")


def build_objective(spec: ObjectiveSpec) -> DescribedObjective:
    """The objective of a specification; built once per process and state of its files.

    Raises:
        SpecError: There is no such objective.
        SpaceError: The space of a plain function cannot be used.
        DataError: Its data cannot be used.
    """
    files = tuple(_stamp(path) for path in (spec.csv, spec.space_file) if path is not None)
    return _built(spec, files)


def _stamp(path: str) -> tuple[int, int]:
    """When a file was last written, and its size: data grows while a server runs."""
    if not os.path.exists(path):
        return 0, 0
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _built(spec: ObjectiveSpec, files: tuple[tuple[int, int], ...]) -> DescribedObjective:
    if spec.name == "lstm":
        return _lstm(spec)
    if ":" in spec.name:
        return _described(spec.name, _imported(spec.name), spec.space_file)
    raise SpecError(
        f"objective is {spec.name!r}; it must be 'lstm', or 'package.module:attribute' "
        "for an objective of your own"
    )


def _lstm(spec: ObjectiveSpec) -> LSTMObjective:
    series = _series(spec)
    if spec.last is not None:
        series = replace(series, frame=series.frame.iloc[-spec.last :])
    return LSTMObjective(series, horizon=spec.horizon)


def _series(spec: ObjectiveSpec) -> TimeSeries:
    if spec.csv is None or spec.target is None:
        return load_taiwan()
    conditions = dict(condition.split("=", 1) for condition in spec.where)
    return load_csv(spec.csv, spec.target, where=conditions, max_missing=spec.max_missing)


def _imported(path: str) -> object:
    """The attribute that an import path names, from the working directory too."""
    module_name, _, attribute = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise SpecError(f"objective {path!r} cannot be imported: {error}") from error
    return found() if isinstance(found, type) else found


def _described(path: str, found: object, space_file: str | None) -> DescribedObjective:
    """An objective as it is, or a plain function with the space of a file."""
    if isinstance(found, DescribedObjective):
        if space_file is not None:
            raise SpecError(f"space_file is for a plain function; {path!r} brings its space")
        return found
    if not callable(found):
        raise SpecError(
            f"objective {path!r} is a {type(found).__name__}; it must be a function, or have "
            "evaluate, name, metric, description and space"
        )
    if space_file is None:
        raise SpecError(
            f"objective {path!r} is a plain function; name the YAML or Python file with its "
            "space: space_file"
        )
    return function_objective(found, load_space(space_file))
