"""Objectives by name or import path: a specification small enough to travel to any worker."""

import os
from dataclasses import dataclass, fields, replace
from functools import lru_cache

from llmpso.data.air_quality import load_taiwan
from llmpso.data.image_collection import parse_groups
from llmpso.data.image_files import load_images
from llmpso.data.series import TimeSeries, load_csv
from llmpso.data.table import CsvOptions
from llmpso.data.textures import load_textures
from llmpso.errors import SpecError
from llmpso.objectives import cnn, lstm
from llmpso.objectives.base import DescribedObjective
from llmpso.objectives.function import function_objective
from llmpso.objectives.functions import FunctionObjective
from llmpso.objectives.user_modules import import_attribute
from llmpso.space_file import load_space
from llmpso.text import is_storable, one_line
from llmpso.user_code import UserCodeError, run_foreign

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
    space: str = "standard"
    """How much of a network is tuned: one of `llmpso.objectives.spaces.SPACE_NAMES`."""
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
    time: str | None = None
    """Column of the time, or two of them joined by `+`; found if None, as all below."""
    time_format: str | None = None
    """How dates are written, as strftime has it."""
    timezone: str | None = None
    """Zone of times that do not name theirs."""
    separator: str | None = None
    """What separates the cells of the file: one character, `tab` or `space`."""
    decimal: str | None = None
    """Decimal mark of the file."""
    encoding: str | None = None
    """Encoding of the file."""
    space_file: str | None = None
    """Space of a plain function, as YAML or Python."""
    images: str | None = None
    """Folder or npz file of images to tell apart; None for the textures of a package."""
    classes: str | None = None
    """Classes to use, several of them as one: `fibre=paper+cardboard,rest=glass`."""
    dims: int = 5
    """Variables of an analytic function."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.csv is not None and self.target is None:
            raise SpecError(f"target is missing; name the column of {self.csv!r} to forecast")
        if self.csv is None and (self.target is not None or self.where):
            raise SpecError("target and where are columns of a file; name it with csv")
        for option in (field.name for field in fields(CsvOptions)):
            if self.csv is None and getattr(self, option) is not None:
                raise SpecError(f"{option} is how a file is written; name it with csv")
        if self.decimal not in (None, ".", ","):
            raise SpecError(f"decimal is {self.decimal!r}; it must be '.' or ','")
        if self.images is None and self.classes is not None:
            raise SpecError("classes are those of your images; name them with images")
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
        self._check_owners()

    def _check_owners(self) -> None:
        """Refuse a name that is not known, and an option that would go unheard."""
        if ":" not in self.name and self.name not in OPTIONS:
            raise SpecError(
                f"objective is {self.name!r}; it must be {', '.join(map(repr, OPTIONS))}, or "
                "'package.module:attribute' for an objective of your own"
            )
        for option in fields(self):
            given = getattr(self, option.name)
            owners = [name for name, options in OPTIONS.items() if option.name in options]
            if owners and given != option.default and self.name not in owners:
                raise SpecError(
                    f"{option.name} is {given!r}, an option of {' and '.join(owners)}; objective "
                    f"{self.name!r} does not take it"
                )


def build_objective(spec: ObjectiveSpec) -> DescribedObjective:
    """The objective of a specification; built once per process and state of its files.

    Raises:
        SpecError: There is no such objective.
        SpaceError: The space of a plain function cannot be used.
        DataError: Its data cannot be used.
    """
    paths = (spec.csv, spec.images, spec.space_file)
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
            return _lstm(spec)
        case "cnn":
            return _cnn(spec)
        case "rastrigin" | "plain-rastrigin":
            return FunctionObjective("rastrigin", spec.dims, plain=spec.name.startswith("plain"))
    return _described(
        spec.name, _instance(spec.name, import_attribute(spec.name)), spec.space_file
    )


def _lstm(spec: ObjectiveSpec) -> lstm.LSTMObjective:
    series = _series(spec)
    if spec.last is not None:
        series = replace(series, frame=series.frame.iloc[-spec.last :])
    space = lstm.TUNABLES.named(spec.space)
    return lstm.LSTMObjective(series, horizon=spec.horizon, space=space)


def _cnn(spec: ObjectiveSpec) -> cnn.CNNObjective:
    space = cnn.TUNABLES.named(spec.space)
    if spec.images is None:
        return cnn.CNNObjective(load_textures(), space=space)
    groups = None if spec.classes is None else parse_groups(spec.classes)
    return cnn.CNNObjective(load_images(spec.images, groups=groups), space=space)


def _series(spec: ObjectiveSpec) -> TimeSeries:
    if spec.csv is None or spec.target is None:
        return load_taiwan()
    conditions = dict(condition.split("=", 1) for condition in spec.where)
    options = CsvOptions(**{f.name: getattr(spec, f.name) for f in fields(CsvOptions)})
    return load_csv(
        spec.csv, spec.target, where=conditions, max_missing=spec.max_missing, options=options
    )


def _instance(path: str, found: object) -> object:
    """A class stands for what it makes without arguments."""
    try:
        return run_foreign(found) if isinstance(found, type) else found
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
