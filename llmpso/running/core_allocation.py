"""How many parallel trainings, and how many cores for each: measured on this machine.

A container may have fewer cores than the system reports, cores may be hyper-threads or busy, and
small networks trained in threads wait for one another. So a short training of the same kind is
timed.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import repeat

from llmpso.cores import usable_cores
from llmpso.extras import loaded
from llmpso.objectives.torch_threads import limit_threads

PROBE_SECONDS = 0.15
"""Seconds for each allocation that is tried."""

CLEARLY = 1.3
"""How many times faster an allocation must be to replace an earlier one."""


@dataclass(frozen=True, slots=True)
class CoreAllocation:
    """Parallel trainings, and cores for each."""

    n_workers: int
    n_threads: int


def measured_workers() -> int:
    """The number of parallel trainings with the highest throughput on this machine.

    More trainings are preferred to more cores for each: threads that share a training wait for
    each other as soon as anything else runs. A later allocation must be clearly faster to be
    chosen.
    """
    return _best([CoreAllocation(n, 1) for n in _halved(usable_cores())]).n_workers


def measured_threads(n_busy: int) -> int:
    """Cores for each of so many trainings: one, or its share if that is clearly faster."""
    n_cores = usable_cores()
    return _best(
        [CoreAllocation(n_busy, 1), CoreAllocation(n_busy, max(1, n_cores // n_busy))]
    ).n_threads


def _best(layouts: Sequence[CoreAllocation]) -> CoreAllocation:
    """The first, or one that is clearly faster than all before it.

    Where nothing has imported torch, nothing is measured: such trainings share no thread pool.
    """
    best, *others = dict.fromkeys(layouts)
    if loaded("torch") is None:
        return best
    most = _trained(best) if others else 0.0
    for layout in others:
        if (trained := _trained(layout)) > CLEARLY * most:
            best, most = layout, trained
    return best


def _halved(number: int) -> list[int]:
    return [number, *_halved(number // 2)] if number > 1 else [1]


@cache
def _trained(layout: CoreAllocation) -> float:
    """Steps a second of all trainings together."""
    with ThreadPoolExecutor(layout.n_workers) as pool:
        n_steps = sum(pool.map(_steps, repeat(layout.n_threads, layout.n_workers)))
    return n_steps / PROBE_SECONDS


def _steps(n_threads: int) -> int:
    """Steps of a small recurrent network within the time of a probe, the first left out."""
    import torch

    before = torch.get_num_threads()
    limit_threads(n_threads)
    network = torch.nn.LSTM(8, 32, batch_first=True)
    inputs = torch.zeros(64, 24, 8)
    n_steps, begin = -1, time.perf_counter()
    while time.perf_counter() - begin < PROBE_SECONDS:
        network(inputs)[0].sum().backward()
        if n_steps < 0:
            begin = time.perf_counter()
        n_steps += 1
    limit_threads(before)
    return n_steps
