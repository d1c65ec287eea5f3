"""How long one prediction takes."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch

from llmpso.objectives.torch_threads import limit_threads

N_WARM, N_TIMED = 10, 50
"""Calls before the clock runs, which load code and fill caches, and calls that are timed."""


@torch.inference_mode()
def latency_ms(predict: Callable[[], object]) -> float:
    """Milliseconds of one call on one thread: the median, which other work hardly changes."""
    n_threads = torch.get_num_threads()
    limit_threads(1)
    try:
        for _ in range(N_WARM):
            predict()
        return 1000 * median(_seconds(predict) for _ in range(N_TIMED))
    finally:
        limit_threads(n_threads)


def _seconds(predict: Callable[[], object]) -> float:
    begin = perf_counter()
    predict()
    return perf_counter() - begin
