"""The mathematics of the surrogate, and how it is computed."""

from threadpoolctl import threadpool_info, threadpool_limits

from llmpso.search.surrogate.gaussian_process import one_thread


def n_threads() -> list[int]:
    """Of each library of linear algebra."""
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_linear_algebra_has_one_thread_and_then_as_many_as_before() -> None:
    with threadpool_limits(limits=2, user_api="blas"):
        before = n_threads()
        for _ in range(2):
            with one_thread():
                assert set(n_threads()) == {1}
            assert n_threads() == before
    assert set(before) == {2}
