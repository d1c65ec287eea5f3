"""What a training takes of a cluster, and what is said of one that cannot be used."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from llmpso.errors import SpecError
from llmpso.objectives.registry import ObjectiveSpec
from llmpso.options import DataOptions, RunOptions
from llmpso.resources import parsed_resources
from llmpso.running.outcome import Outcome
from llmpso.running.runner import cluster_capacity, open_runner
from llmpso.running.worker_pool import ClosedError, NoRoomError, WorkerPool
from llmpso.trial import Source, Trial

SPEC = ObjectiveSpec("plain-rastrigin")
TRIAL = Trial(
    number=0,
    params={f"x{n}": 0.5 for n in range(1, 6)},
    source=Source.INITIAL,
    iteration=0,
    particle=0,
    seed=1,
)


def here() -> float | None:
    """The value that a thread of this process measures."""
    with open_runner(SPEC, RunOptions(), n_workers=1, n_threads=1) as measure:
        return measure(TRIAL).trial.value


def test_amounts_are_read_by_name() -> None:
    assert parsed_resources(["GPU=0.5", " memory = 8000 "]) == {"GPU": 0.5, "memory": 8000.0}
    assert parsed_resources([]) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["GPU"], "resources is 'GPU'; it must be NAME=AMOUNT"),
        (["GPU=two"], "resources is 'GPU=two'; it must be NAME=AMOUNT"),
        (["GPU=0"], "an amount above 0"),
        (["=1"], "it must be NAME=AMOUNT"),
        (["GPU=1", "GPU=2"], "names 'GPU' twice"),
        (["CPU=4"], "set --threads"),
    ],
)
def test_a_text_that_says_no_amount_is_refused(given: list[str], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        RunOptions(runner="ray", resources=given)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "runner 'thread' on this machine has none"),
        ({"runner": "dask"}, "runner 'dask' on this machine has none"),
        ({"runner": "ray", "per_gpu": 2}, "per_gpu is 2, and resources names GPU"),
    ],
)
def test_where_it_means_nothing_it_is_refused(options: dict, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        RunOptions(resources=("GPU=1",), **options)


@pytest.fixture(scope="module")
def dask_address() -> Iterator[str]:
    """Two workers with two cores and one GPU each, as far as the scheduler knows."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=2,
        processes=False,
        dashboard_address=None,
        resources={"GPU": 1},
    ) as cluster:
        yield cluster.scheduler_address


def test_dask_runs_as_many_as_its_workers_have_room_for(dask_address: str) -> None:
    def dask(*resources: str) -> RunOptions:
        return RunOptions(runner="dask", address=dask_address, resources=resources)

    assert cluster_capacity(dask()) == 4
    assert cluster_capacity(dask("GPU=1")) == 2
    with open_runner(SPEC, dask("GPU=1"), n_workers=2, n_threads=1) as measure:
        assert measure(TRIAL).trial.value == here()
    missing = "asks for TPU=1, which no worker of the Dask cluster has; they offer GPU=1"
    with pytest.raises(SpecError, match=missing):
        cluster_capacity(dask("TPU=1"))
    with (
        pytest.raises(SpecError, match=missing),
        open_runner(SPEC, dask("TPU=1"), n_workers=2, n_threads=1),
    ):
        pass


def test_a_study_whose_workers_are_gone_ends_and_says_so(monkeypatch) -> None:
    """Their machines were taken away, and no others come."""
    distributed = pytest.importorskip("distributed")
    from llmpso.running import dask_cluster

    monkeypatch.setattr(dask_cluster, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(dask_cluster, "PATIENCE_SECONDS", 0.5)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        run = RunOptions(runner="dask", address=cluster.scheduler_address)
        with open_runner(SPEC, run, n_workers=1, n_threads=1) as measure:
            cluster.scale(0)
            with pytest.raises(SpecError, match=r"no worker for a training for 0\.5 seconds"):
                measure(TRIAL)
            cluster.scale(1)
            cluster.wait_for_workers(1)
            assert measure(TRIAL).trial.value == here()


def test_a_worker_that_is_lost_before_it_is_prepared_is_not_waited_for(
    dask_address: str, monkeypatch
) -> None:
    distributed = pytest.importorskip("distributed")
    there = distributed.Client.nthreads
    lost = {"tcp://127.0.0.1:9": 1}
    monkeypatch.setattr(distributed.Client, "nthreads", lambda self: lost | there(self))
    run = RunOptions(runner="dask", address=dask_address)
    with open_runner(SPEC, run, n_workers=1, n_threads=1) as measure:
        assert measure(TRIAL).trial.value == here()


@pytest.mark.slow
def test_a_worker_of_this_machine_that_dask_gives_up_is_replaced(tmp_path, monkeypatch) -> None:
    """On a busy machine it takes longer to start again than Dask waits for it."""
    pytest.importorskip("distributed")
    from llmpso.running import dask_cluster

    waits = "distributed.deploy.lost-worker-timeout"
    monkeypatch.setitem(dask_cluster.SETTINGS, waits, 0.1)
    monkeypatch.setattr(dask_cluster, "CHECK_SECONDS", 0.5)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "space.yaml").write_text("x: {type: float, low: 0, high: 1}\n")
    (tmp_path / "killed_once.py").write_text(f"""
import os, signal
from pathlib import Path

def train(params):
    mark = Path({str(tmp_path)!r}, "killed")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return params["x"]
""")
    space = DataOptions(space_file=str(tmp_path / "space.yaml"))
    spec, run = ObjectiveSpec("killed_once:train", space), RunOptions(runner="dask")
    with open_runner(spec, run, n_workers=1, n_threads=1) as measure:
        ended = measure(replace(TRIAL, params={"x": 0.5})).trial
    assert (ended.value, ended.note[:13]) == (0.5, "retried after")


@pytest.mark.slow
def test_without_an_address_ray_is_started_whatever_other_cluster_there_is(monkeypatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with open_runner(SPEC, RunOptions(runner="ray"), n_workers=1, n_threads=1) as measure:
        assert measure(TRIAL).trial.value == here()


def test_ray_keeps_free_what_a_training_takes() -> None:
    ray = pytest.importorskip("ray")
    asked = RunOptions(runner="ray", resources=("memory=100",))
    with open_runner(SPEC, asked, n_workers=1, n_threads=1) as measure:
        assert measure(TRIAL).trial.value == here()
        taken = ray.cluster_resources()["memory"] - ray.available_resources()["memory"]
        assert taken == pytest.approx(100 * 2**20, rel=0.01)
    asked = RunOptions(runner="ray", resources=("license=1",))
    with (
        pytest.raises(SpecError, match="has 0 license, and 1 worker needs 1"),
        open_runner(SPEC, asked, n_workers=1, n_threads=1),
    ):
        pass


@pytest.mark.slow
def test_a_study_goes_on_without_the_machines_that_ray_lost(tmp_path, monkeypatch, caplog) -> None:
    """It has fewer workers, ends when there are none, and uses a machine that comes."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    from llmpso.running import ray_cluster, worker_pool

    monkeypatch.setattr(ray_cluster, "ROOM_SECONDS", 2.0)
    monkeypatch.setattr(worker_pool, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(worker_pool, "PATIENCE_SECONDS", 3.0)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "space.yaml").write_text("x: {type: float, low: 0, high: 9}\n")
    (tmp_path / "in_pairs.py").write_text(f"""
import time
from pathlib import Path

HERE = Path({str(tmp_path)!r})

def train(params):
    (HERE / f"began-{{params['x']}}").touch()
    while len(list(HERE.glob("began-*"))) < 2:
        time.sleep(0.01)
    time.sleep(0.5)
    with (HERE / "ended").open("a") as file:
        file.write(f"{{params['x']}} ")
    return params["x"]
""")
    spec = ObjectiveSpec("in_pairs:train", DataOptions(space_file=str(tmp_path / "space.yaml")))
    # It notices in two seconds, not in twenty, that a machine is lost.
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
    cluster = Cluster(True, head_node_args={"num_cpus": 0, "_system_config": quick})
    try:
        machines = [cluster.add_node(num_cpus=1) for _ in range(2)]
        run = RunOptions(runner="ray", address=cluster.address)
        with (
            open_runner(spec, run, n_workers=2, n_threads=1) as measure,
            ThreadPoolExecutor(2) as threads,
        ):

            def measured(*values: float) -> list[float | None]:
                trials = [replace(TRIAL, params={"x": value}) for value in values]
                return [outcome.trial.value for outcome in threads.map(measure, trials)]

            assert measured(0, 1) == [0, 1]
            cluster.remove_node(machines[0], allow_graceful=False)
            assert measured(2, 3, 4, 5) == [2, 3, 4, 5]
            assert "the cluster has no room for a worker" in caplog.text
            cluster.remove_node(machines[1])
            with pytest.raises(SpecError, match=r"no room for a worker of this study for 3 sec"):
                measured(6)
            monkeypatch.setattr(worker_pool, "PATIENCE_SECONDS", 60.0)
            cluster.add_node(num_cpus=1)
            assert measured(7, 8) == [7, 8]
    finally:
        cluster.shutdown()
    ended = (tmp_path / "ended").read_text().split()
    assert sorted(map(float, ended)) == [0, 1, 2, 3, 4, 5, 7, 8]


def test_a_trial_that_waits_for_a_worker_is_given_up_as_the_study_ends() -> None:
    class Roomless:
        def __init__(self) -> None:
            self.room: Future[None] = Future()

        def evaluate(self, trial: Trial) -> Outcome:
            raise ClosedError if self.room.done() else NoRoomError(self.room)

        def stop(self) -> None:
            self.room.set_exception(RuntimeError("it was killed"))

        def discard(self) -> None:
            pass

    pool = WorkerPool([Roomless()])
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(pool.evaluate, TRIAL) for _ in range(3)]
        pool.close()
        assert [type(each.exception(10)) for each in waiting] == [ClosedError] * 3


def test_a_ray_cluster_that_asks_for_a_token_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def refused(**options: object) -> None:
        raise ConnectionError("Failed to connect") from RuntimeError("InvalidAuthToken")

    monkeypatch.setattr(ray, "init", refused)
    with pytest.raises(SpecError, match="asks for a token: set RAY_AUTH_MODE=token"):
        cluster_capacity(RunOptions(runner="ray", address="head:6379"))
