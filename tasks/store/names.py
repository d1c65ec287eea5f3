"""Names as MLflow takes them: keys of metrics, parameters and tags, models and experiments."""

import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from llmpso.errors import SpecError
from llmpso.safe_names import fits, fitted, is_plain, twins
from llmpso.text import brief, one_line

logger = logging.getLogger(__name__)

KEY_LENGTH, NAME_LENGTH = 200, 200
"""Bytes: MLflow takes 250 characters, and prefixes of ours must find room."""

REPORTED = "reported"
"""The curve of the values that a training gave to `report`."""

OWN_METRICS = frozenset(
    {"value", "seconds", "fidelity", "value_at_fidelity", "best_value", REPORTED}
)
"""Metrics that every evaluation or study has; an objective's of the same name is another one."""


@lru_cache(maxsize=10_000)
def key(name: str, is_twin: bool = False) -> str:
    """The key under which MLflow stores what an objective or a space calls by a name.

    Args:
        name: What it is called.
        is_twin: Another name is the same to a database that knows no capitals, as MySQL is.
    """
    found = fitted(name, _is_of_key, KEY_LENGTH, frozenset({name} if is_twin else ()))
    _say(name, found)
    return found


@lru_cache(maxsize=10_000)
def metric_key(name: str, is_twin: bool = False) -> str:
    """The key of an objective's metric or curve, unlike any metric of ours."""
    reserved = OWN_METRICS | {name} if is_twin or name.lower() in OWN_METRICS else OWN_METRICS
    found = fitted(name, _is_of_key, KEY_LENGTH, reserved)
    _say(name, found)
    return found


def keys(names: Iterable[str]) -> dict[str, str]:
    """The keys of names that are stored together, by name."""
    alike = twins(names := list(names))
    return {name: key(name, name in alike) for name in names}


def metric_keys(names: Iterable[str]) -> dict[str, str]:
    """The keys of metrics and curves that are stored together, by name."""
    alike = twins(names := sorted(names))
    return {name: metric_key(name, name in alike) for name in names}


def by_name(texts: Mapping[str, str], names: Mapping[str, Any]) -> dict[str, str]:
    """The texts under the keys of names, by name; names without a text are left out."""
    return {name: texts[key] for name, key in keys(names).items() if key in texts}


def model_name(asked: str | None, objective: str, option: str = "register_as") -> str:
    """The registered model of a study: as asked for, else after the objective, made fit.

    Raises:
        SpecError: What was asked for is no name of a registered model.
    """
    if asked is None:
        return fitted(objective, is_plain, NAME_LENGTH)
    if not fits(asked, is_plain, NAME_LENGTH):
        near = fitted(asked, is_plain, NAME_LENGTH).rpartition("-")[0]
        raise SpecError(
            f"{option} is {one_line(asked, 100)!r}; a registered model's name takes letters, "
            f"digits, spaces and . - _ only, {NAME_LENGTH} bytes at most, for example {near!r}"
        )
    return asked


def experiment_name(asked: str | None, objective: str) -> str:
    """The experiment of a study: as asked for, else after the objective, made fit.

    Raises:
        SpecError: What was asked for is no name of an experiment.
    """
    if asked is None:
        return fitted(objective, _is_of_experiment, NAME_LENGTH)
    # MLflow gives a slash in it no meaning.
    if not fits(asked.replace("/", "-"), _is_of_experiment, NAME_LENGTH):
        raise SpecError(
            f"experiment is {one_line(asked, 100)!r}; it must be a name of {NAME_LENGTH} bytes at "
            "most, without control characters and without spaces around it"
        )
    return asked


def _is_of_key(letter: str) -> bool:
    return is_plain(letter) or letter in "/:"


def _is_of_experiment(letter: str) -> bool:
    return letter.isprintable()


def _say(name: str, found: str) -> None:
    if found != name:
        logger.warning("MLflow takes no name %r: there it is %r", brief(name), brief(found))
