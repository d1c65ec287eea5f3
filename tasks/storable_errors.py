"""Errors as Prefect stores them: without secrets, and in characters that every database takes.

The message of an exception that ends a flow or a task become the message of its state; the
exception itself may be stored as its result. Everybody can read both.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from llmpso.errors import LLMPSOError
from llmpso.masking import masked
from llmpso.text import is_storable, printable
from llmpso.user_code.calls import described, traceback_of

MOST_CHARACTERS = 8_000
"""Of the message that is stored; Prefect loses an event that is too large."""


P = ParamSpec("P")
T = TypeVar("T")


class ForeignError(LLMPSOError, RuntimeError):
    """Replaces an error of foreign code whose own message cannot be stored."""


def storable_errors(function: Callable[P, T]) -> Callable[P, T]:
    """Let no error out of a function that cannot be stored."""

    @wraps(function)
    def minded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised again
            found = _without_causes(storable(error), error)
        # Not where the other is handled: it would be stored as the cause of this one.
        raise found

    return minded


def storable(error: Exception) -> Exception:
    """The error itself if it can be stored; else one that says the same, as far as it may.

    An error of ours is stored with its class, which says what to do about it.
    """
    message = _message(error)
    if message is None:
        return ForeignError(described(error)).with_traceback(error.__traceback__)
    fit = printable(masked(message[: 2 * MOST_CHARACTERS])[:MOST_CHARACTERS])
    if fit == printable(message) and is_storable(message) and _is_plain(error):
        return error
    if isinstance(error, LLMPSOError):
        error.args = (fit,)
        vars(error).clear()
        return error
    foreign = ForeignError(f"{type(error).__name__}: {fit}")
    return foreign.with_traceback(error.__traceback__)


def _without_causes(found: Exception, error: Exception) -> Exception:
    """An error without its causes, whose messages are added as a note.

    Pickles may contain causes too, with tblib, which Dask installs.
    """
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        found.add_note(f"Caused by:\n{traceback_of(before)}")
    found.__cause__ = found.__context__ = None
    return found


def _message(error: Exception) -> str | None:
    """What an error says; a user's may fail to say anything."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's exception may fail to describe itself
        return None


def _is_plain(error: Exception) -> bool:
    """Whether an error holds nothing that is stored unseen: a request, say, with its headers."""
    held = (*error.args, *vars(error).values())
    texts = [one for one in held if isinstance(one, str)]
    is_plain = all(one is None or isinstance(one, str | int | float) for one in held)
    return is_plain and all(masked(text) == text for text in texts)
