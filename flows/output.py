"""Standard output for the result of a command, and for nothing else."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress


@contextmanager
def others_aside(is_wanted: bool) -> Iterator[None]:
    """Send what is printed within the block to standard error.

    So is what compiled code and other processes print, which know the file by its number alone,
    and what was given `sys.stdout` before.
    """
    if not is_wanted:
        yield
        return
    before, kept = sys.stdout, os.dup(1)
    before.flush()
    os.dup2(2, 1)
    # A file of its own: a training may close what it finds as `sys.stdout`.
    aside = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    try:
        with redirect_stdout(aside):
            yield
    finally:
        for stream in (before, aside):
            with suppress(ValueError):
                stream.flush()
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


def print_result(text: str) -> None:
    """Print to standard output, even if a training has closed it."""
    if sys.stdout.closed:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    print(text, flush=True)
