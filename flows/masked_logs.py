"""Secrets stay out of the logs, whoever writes them: libraries repeat addresses and headers."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from llmpso.masking import masked
from tasks.storable_errors import storable_errors

_TEXT = logging.Formatter()


class Masking(logging.Filter):
    """Masks the secrets in a record's words and in its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is never dropped."""
        record.msg, record.args = masked(_words(record)), ()
        if record.exc_info:
            record.exc_text = masked(record.exc_text or _TEXT.formatException(record.exc_info))
        return True


def _words(record: logging.LogRecord) -> str:
    """What a record says; one whose arguments do not fit says so, and hurts nobody's training."""
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - an argument of foreign code may raise anything
        return f"{record.msg!s} (its arguments do not fit: {type(error).__name__})"


@contextmanager
def masked_run() -> Iterator[None]:
    """A flow's body: neither what is logged in it nor the error that ends it holds a secret."""
    mask_logs()
    with storable_errors():
        yield


def mask_logs() -> None:
    """Let every handler that there is mask what it writes; doing it twice changes nothing."""
    # A copy: other threads go on to make loggers meanwhile.
    known = logging.Logger.manager.loggerDict.copy().values()
    loggers = [logging.getLogger(), *(one for one in known if isinstance(one, logging.Logger))]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        if not any(isinstance(one, Masking) for one in handler.filters):
            handler.addFilter(Masking())
