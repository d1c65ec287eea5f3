"""Hands the plan that a command has checked to its flow, so that it is prepared only once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar


class Prepared(Protocol):
    """A plan, or another object that must be closed after the run."""

    def close(self) -> None:
        """Free what it holds."""
        ...


P = ParamSpec("P")
T = TypeVar("T", bound=Prepared)

_CHECKED: ContextVar[list[tuple[object, Any]] | None] = ContextVar("checked", default=None)


@contextmanager
def handed_over() -> Iterator[None]:
    """For the length of the block, a flow takes what was prepared when its command was checked.

    Prepared objects that it did not take are closed at the end.
    """
    checked: list[tuple[object, Any]] = []
    token = _CHECKED.set(checked)
    try:
        yield
    finally:
        _CHECKED.reset(token)
        for _, plan in checked:
            plan.close()


def prepared_once(prepare: Callable[P, T]) -> Callable[P, T]:
    """Let the second call with the same arguments take what the first prepared.

    Outside of a command, as in a deployment's run, each call prepares again.
    """

    @wraps(prepare)
    def once(*args: P.args, **kwargs: P.kwargs) -> T:
        checked, given = _CHECKED.get(), (args, kwargs)
        for index, (known, _) in enumerate(checked or ()):
            if checked and known == given:
                plan: T = checked.pop(index)[1]
                return plan
        plan = prepare(*args, **kwargs)
        if checked is not None:
            checked.append((given, plan))
        return plan

    return once
