"""Evaluations in processes of their own: the same values, and the study outlives them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

import pytest

from llmpso.errors import SpecError
from llmpso.objectives.registry import ObjectiveSpec, forget_objectives
from llmpso.objectives.user_modules import forget_modules
from llmpso.options import RunOptions
from llmpso.running import process_pool
from llmpso.running.evaluate import Measure
from llmpso.running.runner import open_runner
from llmpso.running.worker_context import WorkerContext
from llmpso.running.worker_pool import ClosedError
from llmpso.trial import FailureKind, Source, Trial, TrialState

OBJECTIVE = '''
import ctypes, os, signal, subprocess, sys, time
from pathlib import Path
import numpy as np
import torch
from llmpso import Categorical, Evaluation, Float, SearchSpace


class Moody:
    """Does what its parameter says."""

    name = "moody"
    metric = "mood"
    description = "Moods."
    space = SearchSpace({"mood": Categorical(["well"]), "x": Float(0, 1)})

    def evaluate(self, params, *, fidelity, seed):
        return getattr(self, params["mood"])(params["x"], seed)

    def well(self, x, seed):
        generator = torch.Generator().manual_seed(seed)
        model = torch.nn.Linear(3, 1)
        value = x + torch.rand(1, generator=generator).item()
        return Evaluation(value, {"pid": os.getpid()}, {"loss": (2.0, 1.0)}, model)

    def raises(self, x, seed):
        raise RuntimeError("a mood")

    def is_nan(self, x, seed):
        return Evaluation(float("nan"))

    def hangs_in_native_code(self, x, seed):
        ctypes.PyDLL(None).sleep(600)  # keeps the interpreter's lock

    def eats_memory(self, x, seed):
        eaten = [np.ones(8 * 2**20) for _ in range(200)]  # 64 MiB each
        return Evaluation(float(len(eaten)))

    def is_killed(self, x, seed):
        os.kill(os.getpid(), signal.SIGKILL)

    def breaks(self, x, seed):
        ctypes.string_at(0)

    def is_killed_once(self, x, seed):
        mark = Path(MARK)
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Evaluation(x)

    def reads_input(self, x, seed):
        return float(input())

    def starts_others(self, x, seed):
        """A child, and one that left for a session of its own, which takes memory."""
        script = "b = bytearray(2**20 * %d); b[::4096] = b'x' * len(b[::4096]); input()" % (10 / x)
        run = lambda **how: subprocess.Popen([sys.executable, "-c", script], stdin=-1, **how).pid
        pids = [run(), run(start_new_session=True)]
        Path(MARK + "children").write_text(" ".join(map(str, [os.getpid(), *pids])))
        if x == 0.5:
            os._exit(3)
        time.sleep(600)

    def naps(self, x, seed):
        Path(MARK).write_text(str(os.getpid()))
        time.sleep(600)
'''


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectiveSpec:
    source = OBJECTIVE.replace("MARK", repr(str(tmp_path / "mark")))
    (tmp_path / "pooled_objective.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    forget_modules(["pooled_objective"])
    forget_objectives()
    return ObjectiveSpec("pooled_objective:Moody")


@pytest.fixture
def measure(moody: ObjectiveSpec) -> Iterator[Measure]:
    runner = RunOptions(runner="process", timeout=4.0, max_memory=900)
    with open_runner(moody, runner, n_workers=1, n_threads=1) as measure:
        yield measure


def trial(mood: str, number: int = 0, x: float = 0.25) -> Trial:
    params = {"mood": mood, "x": x}
    return Trial(number, params, Source.SWARM, iteration=0, particle=0, seed=7 + number)


def test_a_process_measures_what_a_thread_does_and_stays(moody, measure):
    with open_runner(moody, RunOptions(), n_workers=1, n_threads=1) as here:
        own = here(trial("well"))
    first, second = measure(trial("well")), measure(trial("well", 1))
    assert first.trial.value == own.trial.value
    assert first.evaluation.curves == {"loss": (2.0, 1.0)}
    assert first.evaluation.model.in_features == 3
    assert first.trial.started_at > own.trial.started_at
    assert os.getpid() != first.trial.metrics["pid"] == second.trial.metrics["pid"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mood", "kind", "message"),
    [
        ("raises", FailureKind.EXCEPTION, "RuntimeError: a mood"),
        ("is_nan", FailureKind.NAN, "the objective returned nan"),
        ("hangs_in_native_code", FailureKind.TIMEOUT, "no result within 4 s; its process was"),
        ("eats_memory", FailureKind.OUT_OF_MEMORY, "more than 900 MiB; its process was killed"),
        ("is_killed", FailureKind.LOST_WORKER, "its process ended with signal 9, as if"),
        ("breaks", FailureKind.LOST_WORKER, "its process ended with signal 11"),
        ("reads_input", FailureKind.EXCEPTION, "EOFError: EOF when reading a line"),
    ],
)
def test_whatever_happens_is_a_failed_trial_and_the_next_one_is_well(measure, mood, kind, message):
    outcome = measure(trial(mood))
    assert outcome.trial.state is TrialState.FAILED
    assert outcome.trial.failure.kind is kind
    assert outcome.trial.failure.message.startswith(message)
    assert outcome.trial.failure.allowed == {"no result": 4, "more than": 900}.get(message[:9])
    assert measure(trial("well")).trial.state is TrialState.COMPLETE


def test_a_lost_worker_is_tried_again_once_and_the_trial_says_so(measure):
    outcome = measure(trial("is_killed_once"))
    assert outcome.trial.value == 0.25
    assert outcome.trial.note.startswith("retried after: its process ended with signal 9")
    for_good = measure(trial("is_killed")).trial
    assert for_good.failure is not None
    assert for_good.note.count("retried after: ") == 1


def test_a_process_that_is_replaced_does_not_train_what_was_edited_meanwhile(
    moody, measure, tmp_path
):
    assert measure(trial("well")).trial.state is TrialState.COMPLETE
    source = tmp_path / "pooled_objective.py"
    source.write_text(source.read_text().replace("value = x +", "value = 100 + x +"))
    with pytest.raises(SpecError, match=r"has another pooled_objective\.py than this study"):
        measure(trial("is_killed"))


def test_what_ends_the_study_is_no_failed_trial(moody, tmp_path):
    raised: list[type] = []

    def evaluate(measure: Measure) -> None:
        try:
            measure(trial("naps"))
        except ClosedError:
            raised.append(ClosedError)

    with open_runner(moody, RunOptions(runner="process"), n_workers=1, n_threads=1) as measure:
        thread = threading.Thread(target=evaluate, args=(measure,))
        thread.start()
        pid = wait_for_pid(tmp_path / "mark")
    thread.join(10)
    assert raised == [ClosedError]
    assert not Path(f"/proc/{pid}").exists()


def test_a_process_that_starts_as_the_study_ends_trains_nothing(moody, tmp_path, monkeypatch):
    raised: list[type] = []
    is_started, is_closing = threading.Event(), threading.Event()

    class Slow(subprocess.Popen):
        def __init__(self, *args, **options) -> None:
            super().__init__(*args, **options)
            is_started.set()
            is_closing.wait(60)

    class Told(process_pool.WorkerPool):
        def close(self) -> None:
            threading.Timer(0.5, is_closing.set).start()
            super().close()

    def evaluate(measure: Measure) -> None:
        with pytest.raises(ClosedError) as error:
            measure(trial("naps"))
        raised.append(error.type)

    monkeypatch.setattr(process_pool.subprocess, "Popen", Slow)
    monkeypatch.setattr(process_pool, "WorkerPool", Told)
    runner = RunOptions(runner="process", timeout=20.0)
    with open_runner(moody, runner, n_workers=1, n_threads=1) as measure:
        thread = threading.Thread(target=evaluate, args=(measure,))
        thread.start()
        is_started.wait(60)
    thread.join(10)
    assert raised == [ClosedError]
    assert not (tmp_path / "mark").exists()


def test_workers_die_with_a_parent_that_is_killed(moody, tmp_path, ends):
    code = f"""
from llmpso.options import RunOptions
from llmpso.running.runner import open_runner
from llmpso.objectives.registry import ObjectiveSpec
from llmpso.trial import Source, Trial
spec, run = ObjectiveSpec({moody.name!r}), RunOptions(runner="process")
with open_runner(spec, run, n_workers=1, n_threads=1) as m:
    m(Trial(0, {{"mood": "naps", "x": 0.5}}, Source.SWARM, 0, 0, 0))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    pid = wait_for_pid(tmp_path / "mark")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert ends(pid)


def test_a_worker_says_nothing_of_a_parent_that_is_killed(tmp_path):
    ours, theirs = Pipe()
    command = [sys.executable, "-m", "llmpso.running.worker_process", str(theirs.fileno())]
    worker = subprocess.Popen(
        command, pass_fds=[theirs.fileno()], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    theirs.close()
    ours.send((WorkerContext(ObjectiveSpec("rastrigin"), 1, ()), tmp_path))
    assert ours.poll(60)
    ours.close()  # with what the parent has not read any more
    assert worker.wait(60) == 0
    assert worker.stderr.read() == b""
    worker.stdin.close()
    worker.stderr.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (1.0, FailureKind.TIMEOUT),
        (0.5, FailureKind.LOST_WORKER),
        (0.02, FailureKind.OUT_OF_MEMORY),
    ],
)
def test_what_a_worker_started_counts_and_dies_with_it(moody, tmp_path, ends, x, kind):
    runner = RunOptions(runner="process", timeout=8.0, max_memory=900)
    with open_runner(moody, runner, n_workers=1, n_threads=1) as measure:
        assert measure(trial("starts_others", x=x)).trial.failure.kind is kind
        pids = list(map(int, (tmp_path / "markchildren").read_text().split()))
        assert len(pids) == 3
        assert all(ends(pid) for pid in pids)


def wait_for_pid(mark: Path) -> int:
    deadline = time.monotonic() + 60
    while not (mark.exists() and mark.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int(mark.read_text())
