"""Which errors of a store are temporary, how long they are retried, and what others mean.

Retried: a server that cannot be reached, takes too long, is overloaded or fails by itself; a
locked database. Not retried, because only a person can change it: a full disk, a file that may not
be read or written or is not there, a database without its tables, a wrong password or certificate,
and whatever MLflow refuses.
"""

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mlflow.exceptions import MlflowException, RestException
from requests import exceptions as requests_errors

from llmpso.errors import StorageError
from llmpso.text import one_line

logger = logging.getLogger(__name__)

T = TypeVar("T")

STORE_ERRORS = (MlflowException, OSError)
"""What is raised where a store does not answer, or refuses."""

PATIENCE_SECONDS = 600.0

_BUSY_CODES = (
    "TEMPORARILY_UNAVAILABLE",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
)
"""MLflow's codes for a database that does not answer, and for HTTP 429, 503 and 504."""

_BUSY_STATUS = (408, 425, 429, 500, 502, 503, 504)
"""Statuses of HTTP servers, and of proxies before them, that fail temporarily."""

_UNREACHABLE = (
    requests_errors.ConnectionError,
    requests_errors.Timeout,
    requests_errors.RetryError,
    requests_errors.ChunkedEncodingError,
)

_PASSING_ERRNO = (
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENETRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ESTALE,
)
"""Besides what Python knows as `ConnectionError` and `TimeoutError`."""

_FULL = (errno.ENOSPC, errno.EDQUOT)

FULL = os.strerror(errno.ENOSPC)
"""The system's message for it."""

_DISK_FULL = re.compile(r"disk is full|No space left on device|Disk quota exceeded")

_LASTING_ERRNO = (errno.EACCES, errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS, *_FULL)

_PERMANENT = re.compile(
    r"sqlite3\.(?!.*is locked)|authentication failed|does not exist|CERTIFICATE_VERIFY_FAILED"
    rf"|\[Errno ({'|'.join(map(str, _LASTING_ERRNO))})\]",
    re.DOTALL,
)
"""What a database or a server says that no waiting changes. Of SQLite, only a lock passes."""

_STATUS = re.compile(r"failed with error code (\d{3})")
"""How MLflow reports an answer that is not its server's own."""


def patiently(action: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Do something with the store, retrying while it does not answer.

    A loop of our own: tenacity would save six lines, and be one dependency more of every install.

    Raises:
        StorageError: It did not answer for `seconds`.
    """
    deadline, pause = time.monotonic() + seconds, 1.0
    while True:
        try:
            return action()
        except STORE_ERRORS as error:
            if not is_unavailable(error):
                raise
            if time.monotonic() + pause > deadline:
                raise StorageError(
                    f"MLflow did not answer for {seconds:.0f} s, cannot {what} "
                    f"({one_line(error, 200)}); all measurements are stored: run the same "
                    "command again"
                ) from error
            logger.warning("MLflow does not answer (%s); retrying", one_line(error, 200))
        time.sleep(pause)
        pause = min(2 * pause, 15.0)


@contextmanager
def recording(what: str) -> Iterator[None]:
    """Record something of a study within the block.

    Raises:
        StorageError: MLflow refused it.
        MlflowException: MLflow does not answer; also an `OSError`.
    """
    try:
        yield
    except STORE_ERRORS as error:
        if is_unavailable(error):
            raise
        reason = FULL if is_full(error) else one_line(error, 300)
        raise StorageError(
            f"{what} cannot be recorded in MLflow: {reason}; {way_out(error)}, and run the same "
            "command again: all measurements are stored"
        ) from error


def way_out(error: Exception) -> str:
    """What to do about an error before the command is run again."""
    return "free some space" if is_full(error) else "correct that"


def is_unavailable(error: BaseException | None) -> bool:
    """Whether a store does not answer or is locked, so that a retry may succeed."""
    if isinstance(error, requests_errors.RequestException):
        return _is_server_unavailable(error)
    if isinstance(error, OSError):
        is_network = isinstance(error, ConnectionError | TimeoutError)
        return is_network or error.errno in _PASSING_ERRNO
    if not isinstance(error, MlflowException) or _PERMANENT.search(str(error)):
        return False
    if error.error_code in _BUSY_CODES:
        return True
    # Also the code of all that MLflow's client finds wrong by itself.
    return error.error_code == "INTERNAL_ERROR" and (
        isinstance(error, RestException)
        or _is_busy_answer(error)
        or is_unavailable(error.__cause__ or error.__context__)
    )


def is_full(error: BaseException) -> bool:
    """Whether there is no room on a disk."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return isinstance(error, STORE_ERRORS) and bool(_DISK_FULL.search(str(error)))


def _is_server_unavailable(error: requests_errors.RequestException) -> bool:
    if error.response is not None:
        is_lasting = _PERMANENT.search(error.response.text)
        return error.response.status_code in _BUSY_STATUS and not is_lasting
    return isinstance(error, _UNREACHABLE) and "CERTIFICATE_VERIFY_FAILED" not in str(error)


def _is_busy_answer(error: MlflowException) -> bool:
    status = _STATUS.search(str(error))
    return status is not None and int(status[1]) in _BUSY_STATUS
