"""Commands that look for no garbage in what they import: nearly all of it stays.

Python walks through all objects each time that a quarter more of them are there, and again when it
ends: together a third of the time that it takes to start and end a command.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage within, nor ever in what is made within."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def end_quickly() -> None:
    """Look for no garbage any more: what is left ends with the process."""
    gc.freeze()
