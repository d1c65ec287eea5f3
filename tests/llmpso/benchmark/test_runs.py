"""The processes that paired studies run in."""

import torch
from threadpoolctl import threadpool_info

from llmpso.benchmark.runs import one_core_processes


def test_a_worker_has_one_thread_in_every_library_also_in_one_imported_later() -> None:
    with one_core_processes(1) as pool:
        assert {library["num_threads"] for library in pool.submit(threadpool_info).result()} == {1}
        assert pool.submit(torch.get_num_threads).result() == 1
        libraries = pool.submit(threadpool_info).result()
        assert {library["user_api"] for library in libraries} == {"blas", "openmp"}
        assert {library["num_threads"] for library in libraries} == {1}
