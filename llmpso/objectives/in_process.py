"""Objectives of this process only: a notebook's function, a lambda, a closure."""

from collections.abc import Iterator
from contextlib import contextmanager

from llmpso.errors import SpecError
from llmpso.objectives.base import DescribedObjective

PREFIX = "notebook:"
"""How their names begin, where others have a module."""

_OBJECTIVES: dict[str, DescribedObjective] = {}


@contextmanager
def known_here(name: str, objective: DescribedObjective) -> Iterator[None]:
    """For the length of the block, an objective is found by a name, in this process.

    Raises:
        SpecError: The name is taken.
    """
    if name in _OBJECTIVES:
        raise SpecError(f"a study of {name!r} is running in this process; wait for its end")
    _OBJECTIVES[name] = objective
    try:
        yield
    finally:
        del _OBJECTIVES[name]


def is_in_process(name: str) -> bool:
    """Whether a name is that of an objective of this process."""
    return name.startswith(PREFIX)


def objective_here(name: str) -> DescribedObjective:
    """An objective of this process.

    Raises:
        SpecError: There is none of this name.
    """
    if name not in _OBJECTIVES:
        raise SpecError(
            f"objective {name!r} exists only while `tune` of `flows.notebook` runs; put the "
            "function into a module, and name it as module:function"
        )
    return _OBJECTIVES[name]
