"""Secrets stay out of the logs, whoever writes them: libraries repeat addresses and headers."""

import logging

from llmpso.masking import masked

_TEXT = logging.Formatter()


class Masking(logging.Filter):
    """Masks the secrets in a record's words and in its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is never dropped."""
        record.msg, record.args = masked(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = masked(record.exc_text or _TEXT.formatException(record.exc_info))
        return True


def mask_logs() -> None:
    """Let every handler that there is mask what it writes; doing it twice changes nothing."""
    known = logging.Logger.manager.loggerDict.values()
    loggers = [logging.getLogger(), *(one for one in known if isinstance(one, logging.Logger))]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        if not any(isinstance(one, Masking) for one in handler.filters):
            handler.addFilter(Masking())
