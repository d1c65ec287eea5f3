"""How many cores one training may use."""

import torch


def limit_threads(n_threads: int) -> None:
    """Let torch use so many cores in the calling thread.

    OpenMP keeps this setting per thread: set once in the main thread, it would not reach the
    workers, and two trainings on two cores would fight over both.
    """
    if torch.get_num_threads() != n_threads:
        torch.set_num_threads(n_threads)
