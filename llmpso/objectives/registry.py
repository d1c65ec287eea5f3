"""Objectives by name or import path: a specification small enough to travel to any worker."""

import os
from dataclasses import dataclass, fields, replace
from functools import lru_cache

from llmpso.data.images.classes_and_parts import parse_groups
from llmpso.data.images.load import load_images
from llmpso.data.images.textures import load_textures
from llmpso.data.series.air_quality import load_taiwan
from llmpso.data.series.time_series import TimeSeries, load_csv
from llmpso.data.tables.csv_table import CsvOptions
from llmpso.errors import SpecError
from llmpso.objectives import cnn, lstm
from llmpso.objectives.analytic_functions import AnalyticObjective
from llmpso.objectives.base import DescribedObjective
from llmpso.objectives.user_function import function_objective
from llmpso.objectives.user_modules import import_attribute
from llmpso.options import DataOptions
from llmpso.space_file import load_space
from llmpso.text import is_storable, one_line
from llmpso.user_code import UserCodeError, run_user_code

DESCRIBED = ("evaluate", "name", "metric", "description", "space")
"""What an objective of a user's own has."""

OPTIONS = {
    "lstm": (
        *("space", "csv", "target", "horizon", "where", "max_missing", "last"),
        *(field.name for field in fields(CsvOptions)),
    ),
    "cnn": ("space", "images", "classes"),
    "rastrigin": ("dims",),
    "plain-rastrigin": ("dims",),
}
"""What ships, by name, and the options that each takes."""


@dataclass(frozen=True, slots=True)
class ObjectiveSpec:
    """What to tune, on which data."""

    name: str = "lstm"
    """A name in `OPTIONS`, or `package.module:attribute` for an objective of your own."""
    data: DataOptions = DataOptions()

    def __post_init__(self) -> None:
        """Refuse a name that is not known, and an option that would go unheard."""
        is_own = ":" in self.name
        if not is_own and self.name not in OPTIONS:
            raise SpecError(
                f"objective is {self.name!r}; it must be {', '.join(map(repr, OPTIONS))}, or "
                "'package.module:attribute' for an objective of your own"
            )
        if self.data.space_file is not None and not is_own:
            raise SpecError(
                f"space_file is for a function of your own; {self.name!r} brings its space"
            )
        for option, field in DataOptions.model_fields.items():
            given = getattr(self.data, option)
            owners = [name for name, options in OPTIONS.items() if option in options]
            if owners and given != field.default and self.name not in owners:
                raise SpecError(
                    f"{option} is {given!r}, an option of {' and '.join(owners)}; objective "
                    f"{self.name!r} does not take it"
                )


def build_objective(spec: ObjectiveSpec) -> DescribedObjective:
    """The objective of a specification; built once per process and state of its files.

    Raises:
        SpecError: There is no such objective.
        SpaceError: The space of a plain function cannot be used.
        DataError: Its data cannot be used.
    """
    paths = (spec.data.csv, spec.data.images, spec.data.space_file)
    return _built(spec, tuple(_stamp(path) for path in paths if path is not None))


def _stamp(path: str) -> tuple[int, int]:
    """When a file was last written, and its size: data grows while a server runs."""
    if not os.path.exists(path):
        return 0, 0
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _built(spec: ObjectiveSpec, files: tuple[tuple[int, int], ...]) -> DescribedObjective:
    match spec.name:
        case "lstm":
            return _lstm(spec.data)
        case "cnn":
            return _cnn(spec.data)
        case "rastrigin" | "plain-rastrigin":
            is_plain = spec.name.startswith("plain")
            return AnalyticObjective("rastrigin", spec.data.dims, plain=is_plain)
    own = _instance(spec.name, import_attribute(spec.name))
    return _described(spec.name, own, spec.data.space_file)


def _lstm(data: DataOptions) -> lstm.LSTMObjective:
    series = _series(data)
    if data.last is not None:
        series = replace(series, frame=series.frame.iloc[-data.last :])
    space = lstm.TUNABLES.named(data.space)
    return lstm.LSTMObjective(series, horizon=data.horizon, space=space)


def _cnn(data: DataOptions) -> cnn.CNNObjective:
    space = cnn.TUNABLES.named(data.space)
    if data.images is None:
        return cnn.CNNObjective(load_textures(), space=space)
    groups = None if data.classes is None else parse_groups(data.classes)
    return cnn.CNNObjective(load_images(data.images, groups=groups), space=space)


def _series(data: DataOptions) -> TimeSeries:
    if data.csv is None or data.target is None:
        return load_taiwan()
    conditions = dict(condition.split("=", 1) for condition in data.where)
    options = CsvOptions(**{f.name: getattr(data, f.name) for f in fields(CsvOptions)})
    return load_csv(
        data.csv, data.target, where=conditions, max_missing=data.max_missing, options=options
    )


def _instance(path: str, found: object) -> object:
    """A class stands for what it makes without arguments."""
    try:
        return run_user_code(found) if isinstance(found, type) else found
    except UserCodeError as error:
        raise SpecError(f"objective {path!r} cannot be made: {error}") from error


def _described(path: str, found: object, space_file: str | None) -> DescribedObjective:
    """An objective as it is, or a plain function with the space of a file."""
    if isinstance(found, DescribedObjective):
        if space_file is not None:
            raise SpecError(f"space_file is for a plain function; {path!r} brings its space")
        _check_told(path, found)
        return found
    lacking = [name for name in DESCRIBED if not hasattr(found, name)]
    if not callable(found) or "evaluate" not in lacking:
        raise SpecError(
            f"objective {path!r} is a {type(found).__name__} without {', '.join(lacking)}; it "
            f"must be a function, or have {', '.join(DESCRIBED)}"
        )
    if space_file is None:
        raise SpecError(
            f"objective {path!r} is a plain function; name the YAML or Python file with its "
            "space: space_file"
        )
    return function_objective(found, load_space(space_file), path)


def _check_told(path: str, objective: DescribedObjective) -> None:
    """Refuse what an objective says of itself if it cannot be kept."""
    for name in ("name", "metric", "description"):
        told = getattr(objective, name)
        if not isinstance(told, str) or not is_storable(told):
            raise SpecError(
                f"objective {path!r}: its {name} is {one_line(repr(told), 100)}; it must be text "
                "without NUL or half a character"
            )
