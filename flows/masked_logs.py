"""Masks secrets in all logs, also those of libraries, which repeat addresses and headers."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from llmpso.masking import masked
from tasks.storable_errors import storable_errors

P = ParamSpec("P")
T = TypeVar("T")

_TEXT = logging.Formatter()

WHOLE_STATE = "Task run failed with state: "
"""How Prefect begins to print all that a failed trial holds; its next line says what failed."""


class Masking(logging.Filter):
    """Masks the secrets in a record's words and in its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; only one that prints a whole trial is dropped."""
        record.msg, record.args = masked(_words(record)), ()
        if record.msg.startswith(WHOLE_STATE):
            return False
        if record.exc_info:
            record.exc_text = masked(record.exc_text or _TEXT.formatException(record.exc_info))
        return True


def _words(record: logging.LogRecord) -> str:
    """The message of a record; arguments that do not fit the format are noted in it."""
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - an argument of foreign code may raise anything
        return f"{record.msg!s} (its arguments do not fit: {type(error).__name__})"


def masked_run(flow: Callable[P, T]) -> Callable[P, T]:
    """Keep secrets out of what a flow logs, and out of the error that ends it."""

    @wraps(flow)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        mask_logs()
        return flow(*args, **kwargs)

    return storable_errors(run)


def mask_logs() -> None:
    """Let every handler that there is mask what it writes; doing it twice changes nothing."""
    # A copy: other threads go on to make loggers meanwhile.
    known = logging.Logger.manager.loggerDict.copy().values()
    loggers = [logging.getLogger(), *(one for one in known if isinstance(one, logging.Logger))]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        if not any(isinstance(one, Masking) for one in handler.filters):
            handler.addFilter(Masking())
