"""How many cores one training may use."""

import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from llmpso.extras import loaded


def limit_threads(n_threads: int) -> None:
    """Let torch use so many cores in the calling thread; once it is imported, if it is not yet.

    OpenMP keeps this setting per thread: set once in the main thread, it would not reach the
    workers, and two trainings on two cores would compete for both. Torch is not imported for it:
    that takes more than a second of each worker, also of one that trains something else.
    """
    torch = loaded("torch")
    if torch is None:
        _at_import.limit(n_threads)
    elif torch.get_num_threads() != n_threads:
        torch.set_num_threads(n_threads)


class _AtImport(MetaPathFinder):
    """Limits torch when a training imports it."""

    def __init__(self) -> None:
        self._limits = threading.local()

    def limit(self, n_threads: int) -> None:
        """Let it use so many cores in this thread, if this is the one that imports it."""
        self._limits.n_threads = n_threads
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """That of torch, which is limited after it; nothing for other modules."""
        spec = PathFinder.find_spec(name, path, target) if name == "torch" else None
        if spec is not None and spec.loader is not None:
            vars(spec.loader)["exec_module"] = partial(self._imported, spec.loader.exec_module)
        return spec

    def _imported(self, execute: Callable[[ModuleType], None], torch: ModuleType) -> None:
        execute(torch)
        if (n_threads := getattr(self._limits, "n_threads", None)) is not None:
            torch.set_num_threads(n_threads)


_at_import = _AtImport()
