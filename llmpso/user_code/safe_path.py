"""Processes of others that must not take a user's `queue.py` for Python's own."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SAFE_PATH = "PYTHONSAFEPATH"
"""A Python that finds it set does not search the working directory first."""


@contextmanager
def safe_path() -> Iterator[None]:
    """Let what starts during the block not search the working directory first."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        os.environ.pop(SAFE_PATH)
        if before is not None:
            os.environ[SAFE_PATH] = before


def forget_working_directory() -> None:
    """Do not search it first in this process; whoever looks for a user's module adds it last."""
    here = os.path.realpath(os.curdir)
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) != here]
