"""Objectives by name or import path: a specification that can be sent to any worker."""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from llmpso.errors import SpecError
from llmpso.extras import needed_by
from llmpso.objectives.analytic_functions import AnalyticObjective
from llmpso.objectives.base import DescribedObjective
from llmpso.objectives.in_process import is_in_process, objective_here
from llmpso.objectives.user_function import function_objective
from llmpso.objectives.user_modules import import_attribute
from llmpso.options import FILE_FORMAT, DataOptions
from llmpso.text import is_storable, one_line
from llmpso.user_code.calls import UserCodeError, run_user_code

DESCRIBED = ("evaluate", "name", "metric", "description", "space")
"""What an objective of a user's own has."""

OPTIONS = {
    "lstm": (
        *(
            "space",
            "max_parameters",
            "max_latency_ms",
            "csv",
            "target",
            "horizon",
            "where",
            "max_missing",
            "last",
        ),
        *FILE_FORMAT,
    ),
    "cnn": ("space", "max_parameters", "max_latency_ms", "images", "classes"),
    "rastrigin": ("dims",),
    "plain-rastrigin": ("dims",),
}
"""What ships, by name, and the options that each takes."""

NETWORKS = ("lstm", "cnn")


@dataclass(frozen=True, slots=True)
class ObjectiveSpec:
    """What to tune, on which data."""

    name: str = "lstm"
    """A name in `OPTIONS`, or `package.module:attribute` for an objective of your own."""
    data: DataOptions = DataOptions()

    @property
    def path(self) -> str:
        """Where the objective is imported from; empty if it is this process's own."""
        return "" if is_in_process(self.name) else self.name

    def __post_init__(self) -> None:
        """Refuse a name that is not known, and an option that would be ignored."""
        is_own = ":" in self.name
        if not is_own and self.name not in OPTIONS:
            raise SpecError(
                f"objective is {self.name!r}; it must be {', '.join(map(repr, OPTIONS))}, or "
                "'package.module:attribute' for an objective of your own"
            )
        if self.data.space_file is not None and not is_own:
            raise SpecError(
                f"space_file is for a function of your own; {self.name!r} has its own space"
            )
        if self.data.goals and not is_own and self.name not in NETWORKS:
            raise SpecError(
                f"goals is {list(self.data.goals)}, names of several values; {self.name!r} has one"
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
    if is_in_process(spec.name):
        return objective_here(spec.name)
    paths = (spec.data.csv, spec.data.images, spec.data.space_file)
    return _built(spec, tuple(_stamp(path) for path in paths if path is not None))


def forget_objectives() -> None:
    """Build the next one anew, whatever was built before."""
    _built.cache_clear()


def _stamp(path: str) -> str:
    """When a file, or those of a folder, were last written: data grows while a server runs."""
    below = (os.path.join(at, name) for at, _, names in os.walk(path) for name in names)
    stamp = hashlib.sha256()
    for file in [path, *sorted(below)]:
        with suppress(OSError):
            status = os.stat(file)
            stamp.update(repr((file, status.st_mtime_ns, status.st_size)).encode())
    return stamp.hexdigest()


@lru_cache(maxsize=8)
def _built(spec: ObjectiveSpec, files: tuple[str, ...]) -> DescribedObjective:
    match spec.name:
        case "lstm" | "cnn":
            return _shipped(spec)
        case "rastrigin" | "plain-rastrigin":
            is_plain = spec.name.startswith("plain")
            return AnalyticObjective("rastrigin", spec.data.dims, plain=is_plain)
    own = _instance(spec.name, import_attribute(spec.name))
    return _described(spec.name, own, spec.data)


def _shipped(spec: ObjectiveSpec) -> DescribedObjective:
    with needed_by(f"the objective {spec.name!r}", "torch"):
        from llmpso.objectives.shipped import cnn_objective, lstm_objective
    return lstm_objective(spec.data) if spec.name == "lstm" else cnn_objective(spec.data)


def _instance(path: str, found: object) -> object:
    """A class is called without arguments to make the objective."""
    try:
        return run_user_code(found) if isinstance(found, type) else found
    except UserCodeError as error:
        raise SpecError(f"objective {path!r} cannot be made: {error}") from error


def _described(path: str, found: object, data: DataOptions) -> DescribedObjective:
    """An objective as it is, or a plain function with the space of a file."""
    space_file = data.space_file
    if isinstance(found, DescribedObjective):
        if space_file is not None:
            raise SpecError(f"space_file is for a plain function; {path!r} has its own space")
        if data.goals:
            raise SpecError(f"goals is for a plain function; {path!r} names its own as `goals`")
        _check_texts(path, found)
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
    with needed_by("a space file", "flows"):
        from llmpso.space.space_file import load_space
    return function_objective(found, load_space(space_file), path, data.goals)


def _check_texts(path: str, objective: DescribedObjective) -> None:
    """Refuse a description of an objective that cannot be stored."""
    for name in ("name", "metric", "description"):
        text = getattr(objective, name)
        if not isinstance(text, str) or not is_storable(text):
            raise SpecError(
                f"objective {path!r}: its {name} is {one_line(repr(text), 100)}; it must be text "
                "without NUL or half a character"
            )
