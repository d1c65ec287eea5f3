"""Reserves standard output for the result of a command."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress


@contextmanager
def others_aside(is_wanted: bool) -> Iterator[None]:
    """Send what is printed within the block to standard error, if that is wanted.

    This includes the output of compiled code and other processes, which use the file descriptor,
    and of objects that hold the earlier `sys.stdout`. After the block standard output is what it
    was, whether or not that is wanted: a training may close or replace it.
    """
    before, copy = sys.stdout, _duplicate(1)
    try:
        if is_wanted:
            with _on_standard_error():
                yield
        else:
            yield
    finally:
        sys.stdout = before
        with suppress(ValueError, AttributeError):  # it is closed, or there was none
            before.flush()
        ctypes.CDLL(None).fflush(None)
        if copy is not None:
            os.dup2(copy, 1)
            os.close(copy)


@contextmanager
def _on_standard_error() -> Iterator[None]:
    with suppress(ValueError, AttributeError):
        sys.stdout.flush()
    os.dup2(2, 1)
    # A separate file object: a training may close `sys.stdout`.
    aside = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    try:
        with redirect_stdout(aside):
            yield
    finally:
        with suppress(ValueError):
            aside.flush()


def _duplicate(descriptor: int) -> int | None:
    """A duplicate of a file descriptor; None if the file is closed."""
    try:
        return os.dup(descriptor)
    except OSError:
        return None


def print_result(text: str) -> None:
    """Print to standard output, even if a training has closed it.

    What reads it may have ended, as `head` does when it has enough: then the rest is dropped.
    """
    if sys.stdout is not None and sys.stdout.closed:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python flushes once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
