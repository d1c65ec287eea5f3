"""A GPU for each worker process of a machine: so many processes per GPU, and no more.

A place on a GPU is a lock that a process holds until it ends, in whatever way. So workers that
were started by others, on a cluster, or again after a crash, share the GPUs of their machine as
well, and so do two studies.
"""

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from llmpso.errors import SpecError
from llmpso.extras import needed_by
from llmpso.text import plural

if TYPE_CHECKING:
    from filelock import FileLock

DEVICES = "CUDA_VISIBLE_DEVICES"

_held: list["FileLock"] = []
"""Never released: each lock ends with the process."""


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use."""
    named = os.environ.get(DEVICES)
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    with needed_by("per_gpu", "torch"):
        import torch
    return [str(number) for number in range(torch.cuda.device_count())]


def check_gpus(n_workers: int, per_gpu: int) -> None:
    """Refuse more workers than the GPUs of this machine have places.

    Raises:
        SpecError: There are too few.
    """
    n_gpus = len(visible_gpus())
    if n_workers > n_gpus * per_gpu:
        raise SpecError(
            f"per_gpu is {per_gpu!r}, and {plural(n_gpus, 'GPU')} can be used: room for "
            f"{plural(n_gpus * per_gpu, 'worker')}, not for {n_workers}; set --workers"
        )


@cache
def take_gpu(per_gpu: int) -> str:
    """Take a place on a GPU until this process ends; it sees no other GPU then.

    In time: CUDA reads which devices are visible when it is first used.

    Raises:
        SpecError: All places are taken.
    """
    with needed_by("per_gpu", "torch"):
        from filelock import FileLock, Timeout
    gpus = visible_gpus()
    folder = Path(tempfile.gettempdir(), "llmpso-gpus")
    folder.mkdir(exist_ok=True)
    for place in range(per_gpu):
        for gpu in gpus:
            lock = FileLock(folder / f"{gpu}.{place}")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            _held.append(lock)
            os.environ[DEVICES] = gpu
            return gpu
    raise SpecError(
        f"{plural(len(gpus) * per_gpu, 'place is', 'places are')} taken on "
        f"{plural(len(gpus), 'GPU')} of this machine: there is no other"
    )
