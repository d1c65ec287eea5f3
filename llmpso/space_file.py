"""Search spaces from small files: YAML, or Python that names its `space`."""

import difflib
import runpy
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import yaml

from llmpso.errors import SpaceError
from llmpso.space import Categorical, Dimension, Float, Integer, SearchSpace

KINDS: Mapping[str, type[Dimension]] = {
    "float": Float,
    "integer": Integer,
    "categorical": Categorical,
}
"""What `type` of a hyperparameter may be."""


def load_space(path: str | Path) -> SearchSpace:
    """The space that a file describes.

    YAML has one entry per hyperparameter, with the fields of `Float`, `Integer` or `Categorical`:

        rate: {type: float, low: 0.0001, high: 0.1, log: true}
        units: {type: integer, low: 8, high: 256}
        optimizer: {type: categorical, choices: [adam, sgd]}

    A Python file has a `SearchSpace` under the name `space`.

    Raises:
        SpaceError: There is no such file, or it describes no space.
    """
    path = Path(path)
    if path.suffix not in (".yaml", ".yml", ".py"):
        raise SpaceError(f"space file is {str(path)!r}; it must end in .yaml, .yml or .py")
    if not path.is_file():
        raise SpaceError(f"space file {str(path)!r} does not exist; check the path")
    try:
        return _from_python(path) if path.suffix == ".py" else _from_yaml(path)
    except SpaceError as error:
        raise SpaceError(f"space file {str(path)!r}: {error}") from error


def _from_python(path: Path) -> SearchSpace:
    try:
        found = runpy.run_path(str(path)).get("space")
    except (SyntaxError, ImportError, NameError, AttributeError, TypeError) as error:
        raise SpaceError(f"it cannot be run: {type(error).__name__}: {error}") from error
    if not isinstance(found, SearchSpace):
        raise SpaceError(f"space is {found!r}; it must be a SearchSpace")
    return found


def _from_yaml(path: Path) -> SearchSpace:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpaceError(f"it is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or not content:
        raise SpaceError("it must hold one entry per hyperparameter, such as x: {type: float, …}")
    return SearchSpace({name: _dimension(name, entry) for name, entry in content.items()})


def _dimension(name: str, entry: object) -> Dimension:
    if not isinstance(entry, dict) or entry.get("type") not in KINDS:
        kind = entry.get("type") if isinstance(entry, dict) else entry
        raise SpaceError(f"{name} has the type {kind!r}; it must be one of: {', '.join(KINDS)}")
    fields = {key: value for key, value in entry.items() if key != "type"}
    kind = KINDS[entry["type"]]
    parameters = signature(kind).parameters
    for field in fields:
        if field not in parameters:
            near = difflib.get_close_matches(str(field), parameters, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(parameters)}"
            raise SpaceError(f"{name} has the field {field!r}; {hint}")
    missing = [key for key, p in parameters.items() if p.default is p.empty and key not in fields]
    if missing:
        raise SpaceError(f"{name} lacks {' and '.join(missing)}")
    try:
        return kind(**{key: _plain(value) for key, value in fields.items()})
    except SpaceError as error:
        raise SpaceError(f"{name}: {error}") from error


def _plain(value: Any) -> Any:
    """A value as it was meant: YAML 1.1 reads 1e-4 as text, for want of a point."""
    try:
        return float(value) if isinstance(value, str) and "e" in value.lower() else value
    except ValueError:
        return value
