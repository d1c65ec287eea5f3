"""The cores that this process may really use."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux shows what a container may take, and in which groups this process is."""


def usable_cores() -> int:
    """Cores of this machine that this process may run on, as far as its container allows.

    A container with a limit sees all cores of its machine: as many threads would spend their time
    waiting for one another.
    """
    n_cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, math.ceil(min([n_cores, *_shares(CGROUPS, MEMBERSHIP)])))


def _shares(root: Path, membership: Path) -> Iterator[float]:
    """The limits in cores of the control groups, versions 1 and 2, that hold this process."""
    for folder in _folders(root, membership):
        with suppress(OSError, ValueError):
            quota, period = _limit(folder)
            if quota > 0:
                yield quota / period


def _folders(root: Path, membership: Path) -> Iterator[Path]:
    """The groups of this process; a limit of an outer one holds inside, too."""
    lines = membership.read_text().splitlines() if membership.exists() else ()
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            top = root / "cpu" if controllers else root
            inside = top / group.strip("/")
            yield from (inside, *inside.parents[: len(inside.parts) - len(top.parts)])


def _limit(folder: Path) -> tuple[float, float]:
    """Microseconds of work that a group may do in so many microseconds; not above 0: any."""
    if (both := folder / "cpu.max").exists():
        texts = both.read_text().replace("max", "-1").split()
    else:
        texts = [(folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")]
    quota, period = map(float, texts)
    return quota, period
