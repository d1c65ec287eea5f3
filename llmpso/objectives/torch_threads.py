"""How many cores one training may use."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


@cache
def installed_torch() -> ModuleType | None:
    """Torch; None where it is not installed, and nothing can train with it."""
    return import_module("torch") if find_spec("torch") else None


def limit_threads(n_threads: int) -> None:
    """Let torch use so many cores in the calling thread.

    OpenMP keeps this setting per thread: set once in the main thread, it would not reach the
    workers, and two trainings on two cores would compete for both.
    """
    torch = installed_torch()
    if torch is not None and torch.get_num_threads() != n_threads:
        torch.set_num_threads(n_threads)
