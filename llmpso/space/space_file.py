"""Search spaces from small files: YAML, or Python that names its `space`."""

import codecs
import math
import runpy
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from llmpso.errors import SpaceError
from llmpso.space import Categorical, Dimension, Fixed, Float, Integer, Ordinal, SearchSpace
from llmpso.text import did_you_mean, one_line
from llmpso.user_code.calls import UserCodeError, run_user_code
from llmpso.yaml_keys import repeated_key

KINDS: Mapping[str, type[Dimension]] = {
    "float": Float,
    "integer": Integer,
    "categorical": Categorical,
    "ordinal": Ordinal,
    "fixed": Fixed,
}
"""What `type` of a hyperparameter may be."""

TRUTH_VALUES = {"yes": True, "on": True, "no": False, "off": False}
"""Truth values of YAML 1.1, text in 1.2: people write both."""


def load_space(path: str | Path) -> SearchSpace:
    """The space that a file describes.

    YAML has one entry per hyperparameter, with the fields of `Float`, `Integer`, `Categorical`,
    `Ordinal` or `Fixed`, or the only value that it has:

        rate: {type: float, low: 0.0001, high: 0.1, log: true}
        units: {type: integer, low: 32, high: 256, step: 32}
        batch: {type: ordinal, choices: [16, 32, 64]}
        optimizer: {type: categorical, choices: [adam, sgd, null]}
        momentum: {type: float, low: 0, high: 0.99, when: {optimizer: sgd}}
        epochs: 20
        constraints: ["units * batch <= 8192"]

    It is read as YAML 1.2: `no` is text, `1e-4` a number, `010` ten, and JSON is YAML, too. A
    Python file has a `SearchSpace` under the name `space`.

    Raises:
        SpaceError: There is no such file, or it describes no space.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".yaml", ".yml", ".json", ".py"):
        raise SpaceError(f"space file is {str(path)!r}; it must end in .yaml, .yml, .json or .py")
    if not path.is_file():
        problem = "is no file" if path.exists() else "does not exist"
        raise SpaceError(f"space file {str(path)!r} {problem}; check the path")
    try:
        return _from_python(path) if suffix == ".py" else _from_yaml(path)
    except SpaceError as error:
        raise SpaceError(f"space file {str(path)!r}: {error}") from error


def _from_python(path: Path) -> SearchSpace:
    try:
        found = run_user_code(lambda: runpy.run_path(str(path))).get("space")
    except UserCodeError as error:
        raise SpaceError(f"it cannot be run: {error}") from error
    if not isinstance(found, SearchSpace):
        raise SpaceError(f"space is {one_line(repr(found), 100)}; it must be a SearchSpace")
    return found


def _from_yaml(path: Path) -> SearchSpace:
    text, yaml = _text(path), YAML(typ="safe", pure=True)
    try:
        content = yaml.load(text)
        # A mapping that merges another (`<<`) is not checked by the library.
        repeated = repeated_key(yaml.compose(text))
    except (YAMLError, ValueError, RecursionError) as error:
        raise SpaceError(f"it is no YAML ({_described(error)})") from error
    if repeated:
        raise SpaceError(f"it is no YAML ({repeated})")
    if not isinstance(content, dict) or not content:
        raise SpaceError("it must hold one entry per hyperparameter, such as x: {type: float, …}")
    # A hyperparameter of this name is a mapping or a value.
    is_listed = isinstance(content.get("constraints"), list)
    constraints = content.pop("constraints") if is_listed else []
    dimensions = {name: _dimension(name, entry) for name, entry in content.items()}
    return SearchSpace(dimensions, constraints)


def _text(path: Path) -> str:
    """The text of a file: in UTF-8, or in UTF-16 if it says so, as PowerShell writes files."""
    try:
        content = path.read_bytes()
        is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeError as error:
        raise SpaceError("it is no text in UTF-8; save it as such") from error
    except OSError as error:
        raise SpaceError(f"it cannot be read ({error.strerror})") from error


def _described(error: Exception) -> str:
    """What is wrong, and in which line."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return one_line(error)
    problem = str(error.problem).partition(" with value")[0]
    return f"line {error.problem_mark.line + 1}: {one_line(problem)}"


def _dimension(name: str, entry: object) -> Dimension:
    if isinstance(entry, bool | int | float) or (
        isinstance(entry, str) and entry.lower() not in KINDS
    ):
        return _named(name, Fixed, {"value": entry})
    kind = _kind(name, entry)
    fields = {key: value for key, value in dict(entry).items() if key != "type"}  # type: ignore[call-overload]
    parameters = signature(kind).parameters
    for field in fields:
        if field not in parameters:
            hint = did_you_mean(str(field), parameters)
            raise SpaceError(f"{name} has the field {field!r}; {hint}")
    fields = {key: value for key, value in fields.items() if key != "step" or value is not None}
    missing = [key for key, p in parameters.items() if p.default is p.empty and key not in fields]
    if missing:
        raise SpaceError(f"{name} lacks {' and '.join(missing)}")
    return _named(name, kind, fields)


def _named(name: str, kind: type[Dimension], fields: Mapping[str, Any]) -> Dimension:
    """A dimension; what is wrong with it is said with its name."""
    try:
        _check_quotes(fields)
        _check_meant(fields.get("choices"))
        return kind(**{key: _flag(key, value) for key, value in fields.items()})
    except SpaceError as error:
        raise SpaceError(f"{name}: {error}") from error


def _kind(name: object, entry: object) -> type[Dimension]:
    if isinstance(entry, dict) and "type" not in entry:
        raise SpaceError(f"{name} has no type; it must be one of: {', '.join(KINDS)}")
    if entry is None or isinstance(entry, list):
        shown = one_line(repr(entry), 100)
        raise SpaceError(
            f"{name} is {shown}; write {{type: fixed, value: …}} for a fixed value, or "
            "{type: categorical, choices: […]} for several"
        )
    kind = entry["type"] if isinstance(entry, dict) else entry
    if not isinstance(kind, str) or kind not in KINDS or not isinstance(entry, dict):
        shown = one_line(repr(kind), 100)
        raise SpaceError(f"{name} has the type {shown}; it must be one of: {', '.join(KINDS)}")
    return KINDS[kind]


def _flag(field: str, value: Any) -> Any:
    """`yes` and `no` as truth values, in the fields that are true or false."""
    if field != "log" or not isinstance(value, str):
        return value
    return TRUTH_VALUES.get(value.lower(), value)


def _check_quotes(fields: Mapping[str, object]) -> None:
    """Refuse a bound that is a number in quotes."""
    for field in ("low", "high", "step"):
        value = fields.get(field)
        if isinstance(value, str) and _is_number(value):
            raise SpaceError(f"{field} is {value!r}, which is text; write it without quotes")


def _check_meant(choices: object) -> None:
    """Refuse text that was hardly meant as text."""
    listed = choices if isinstance(choices, list) else []
    if "None" in listed:
        raise SpaceError("choice 'None' is text in YAML; write null")
    if listed and all(isinstance(c, str) and c.lower() in TRUTH_VALUES for c in listed):
        raise SpaceError(
            f"choices {listed} are text in YAML; write true and false, or other words"
        )
    numbers = [c for c in listed if isinstance(c, int | float) and not isinstance(c, bool)]
    like_numbers = [choice for choice in listed if isinstance(choice, str) and _is_number(choice)]
    if numbers and like_numbers:
        raise SpaceError(
            f"choice {like_numbers[0]!r} is text among numbers; write it without quotes, or all "
            "of them in quotes"
        )


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
