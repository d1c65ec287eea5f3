"""One suite for every runner: threads, processes, and real Dask and Ray clusters."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from llmpso.objectives.registry import ObjectiveSpec
from llmpso.options import RunnerKind, RunOptions
from llmpso.running.evaluate import Measure
from llmpso.running.outcome import Outcome
from llmpso.running.runner import RETRIES, open_runner
from llmpso.trial import FailureKind, Limit, Source, Trial, TrialState

N_WORKERS = 2

OBJECTIVE = '''
import logging, math, os, signal, sys, threading, time, warnings
from pathlib import Path
import matplotlib
import numpy as np
import torch
from llmpso import Categorical, Evaluation, Float, SearchSpace, report

BUILT = Path(BUILT_FOLDER)


class Broken:
    def __reduce__(self):
        return float, ("one",)


class Undescribed(BaseException):
    def __str__(self):
        raise RuntimeError("no text")


class Moody:
    """Does what its parameter says."""

    name = "moody"
    metric = "mood"
    description = "Moods."
    space = SearchSpace({"mood": Categorical(["well"]), "x": Float(0, 1)})

    def __init__(self):
        with (BUILT / str(os.getpid())).open("a") as file:
            file.write("x")

    def evaluate(self, params, *, fidelity, seed):
        mood, x = params.pop("mood"), params["x"]
        params |= {"x": 7.0, "more": 1}
        return getattr(self, mood)(x, seed)

    def well(self, x, seed):
        generator = torch.Generator().manual_seed(seed)
        value = x + torch.rand(1, generator=generator).item()
        figures = {"pid": os.getpid(), "threads": torch.get_num_threads()}
        return Evaluation(value, figures, {"loss": (2.0, 1.0)}, torch.nn.Linear(3, 1))

    def waits_for_another(self, x, seed):
        (BUILT / f"here-{x}").touch()
        while len(list(BUILT.glob("here-*"))) < 2:
            time.sleep(0.01)
        return self.well(x, seed)

    def raises(self, x, seed):
        raise RuntimeError("a mood")

    def is_nan(self, x, seed):
        return Evaluation(float("nan"))

    def is_killed(self, x, seed):
        os.kill(os.getpid(), signal.SIGKILL)

    def is_killed_once(self, x, seed):
        mark = BUILT / "killed"
        if not mark.exists():
            mark.touch()
            self.is_killed(x, seed)
        return self.well(x, seed)

    def keeps_a_lock(self, x, seed):
        return Evaluation(x, model=threading.Lock())

    def keeps_a_lambda(self, x, seed):
        model = torch.nn.Linear(3, 1)
        model.scale = lambda value: value * x
        return Evaluation(x, model=model)

    def keeps_what_cannot_be_read_back(self, x, seed):
        return Evaluation(x, model=Broken())

    def returns_odd_things(self, x, seed):
        metrics = {"loss": np.float32(0.5), "auc": None, "nan": math.nan, "one": torch.ones(1)}
        artifacts = {"a.json": {"eye": np.eye(2)}, "b.json": {"lock": threading.Lock()}}
        class Own(Evaluation):
            pass
        return Own(np.float64(x), metrics, {"loss": np.arange(2)}, artifacts=artifacts)

    def has_no_names(self, x, seed):
        return Evaluation(x, None, [1.0])

    def returns_a_number(self, x, seed):
        return torch.tensor(x, dtype=torch.float64, requires_grad=True)

    def returns_a_tuple(self, x, seed):
        return x, x

    def returns_nothing(self, x, seed):
        pass

    def holds_nothing(self, x, seed):
        return Evaluation(None)

    def is_a_coroutine(self, x, seed):
        async def later():
            return x
        return later()

    def exits(self, x, seed):
        sys.exit("diverged")

    def interrupts(self, x, seed):
        raise KeyboardInterrupt

    def raises_what_cannot_be_described(self, x, seed):
        raise Undescribed(threading.Lock())

    def recurses(self, x, seed):
        return self.recurses(x, seed)

    def reports(self, x, seed):
        for epoch in range(1, 9):
            report(epoch, 1 / epoch + x, total=8)
        return Evaluation(x)

    def goes_on(self, x, seed):
        for epoch in range(1, 9):
            try:
                report(epoch, 1 / epoch + x)
            except Exception:
                pass
        return Evaluation(-1.0)

    def forks(self, x, seed):
        if os.fork() == 0:
            raise RuntimeError("the child goes its own way")
        os.wait()
        return self.well(x, seed)

    def changes_its_surroundings(self, x, seed):
        os.chdir("/")
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("error")
        np.seterr(all="raise")
        matplotlib.rcParams["font.size"] = 99
        return Evaluation(x)

    def looks_around(self, x, seed):
        own = [torch.get_default_dtype() == torch.float32, torch.is_grad_enabled()]
        own += [logging.root.manager.disable == 0, np.geterr()["over"] == "warn"]
        own += [matplotlib.rcParams["font.size"] < 99]
        own += ["PYTHONSAFEPATH" not in os.environ]
        own += [not any(one[:3] == ("error", None, Warning) for one in warnings.filters)]
        return Evaluation(x, {"same": float(all(own) and os.getcwd() != "/")})

    def imports(self, x, seed):
        import flows, mlflow, queue, selectors, tasks
        modules = (flows, mlflow, queue, selectors, tasks)
        files = [Path(module.__file__) for module in modules]
        return Evaluation(x, {"taken": sum(Path.cwd() in file.parents for file in files)})
'''

TAKEN = ("flows.py", "mlflow/__init__.py", "queue.py", "selectors.py", "tasks.py")
"""Names of the user's own files that others have as well."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runners")


@pytest.fixture(scope="module")
def moody(folder: Path) -> Iterator[ObjectiveSpec]:
    (folder / "built").mkdir()
    source = OBJECTIVE.replace("BUILT_FOLDER", repr(str(folder / "built")))
    (folder / "moody_objective.py").write_text(source)
    for name in TAKEN:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("raise ImportError('a module of the user')")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        yield ObjectiveSpec("moody_objective:Moody")


@pytest.fixture(scope="module", params=get_args(RunnerKind))
def kind(request: pytest.FixtureRequest) -> str:
    package = {"dask": "distributed", "ray": "ray"}.get(request.param)
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install '.[{request.param}]'")
    return request.param


@pytest.fixture(scope="module")
def measure(moody: ObjectiveSpec, kind: str) -> Iterator[Measure]:
    environment = os.environ.get("PYTHONSAFEPATH"), os.environ.get("OMP_NUM_THREADS")
    with open_runner(moody, RunOptions(runner=kind), n_workers=N_WORKERS, n_threads=1) as measure:
        yield measure
    assert (os.environ.get("PYTHONSAFEPATH"), os.environ.get("OMP_NUM_THREADS")) == environment


def trial(mood: str, number: int = 0) -> Trial:
    params = {"mood": mood, "x": number / 100}
    return Trial(number, params, Source.SWARM, iteration=0, particle=0, seed=7 + number)


def at_once(measure: Measure, trials: list[Trial]) -> list[Outcome]:
    with ThreadPoolExecutor(N_WORKERS) as threads:
        return list(threads.map(measure, trials))


pytestmark = pytest.mark.slow

RETURNED = "TypeError: the objective returned"
MUST = "it must return a number, or an Evaluation of one"


def test_the_same_trials_give_the_same_values(moody, measure):
    trials = [trial("well", number) for number in range(8)]
    with open_runner(moody, RunOptions(runner="thread"), n_workers=1, n_threads=1) as here:
        own = [here(each) for each in trials]
    outcomes = at_once(measure, trials)
    assert [outcome.trial.value for outcome in outcomes] == [each.trial.value for each in own]
    for outcome in outcomes:
        assert outcome.trial.state is TrialState.COMPLETE
        assert outcome.trial.metrics["threads"] == 1
        assert outcome.evaluation.curves == {"loss": (2.0, 1.0)}
        assert outcome.evaluation.model.in_features == 3


def test_workers_run_side_by_side_and_build_the_objective_once(measure, kind, folder):
    for mark in (folder / "built").glob("here-*"):
        mark.unlink()
    waiting = [trial("waits_for_another", number) for number in range(N_WORKERS)]
    outcomes = at_once(measure, waiting + [trial("well", number) for number in range(4)])
    pids = {int(outcome.trial.metrics["pid"]) for outcome in outcomes}
    assert len(pids) == (1 if kind == "thread" else N_WORKERS)
    assert (os.getpid() in pids) == (kind == "thread")
    assert {(folder / "built" / str(pid)).read_text() for pid in pids} == {"x"}


@pytest.mark.parametrize(
    ("mood", "failure", "message"),
    [
        ("raises", FailureKind.EXCEPTION, "RuntimeError: a mood"),
        ("is_nan", FailureKind.NAN, "the objective returned nan"),
        ("exits", FailureKind.EXCEPTION, "SystemExit: diverged"),
        ("interrupts", FailureKind.EXCEPTION, "KeyboardInterrupt"),
        (
            "raises_what_cannot_be_described",
            FailureKind.EXCEPTION,
            "Undescribed: its text cannot be read",
        ),
        ("recurses", FailureKind.EXCEPTION, "RecursionError: maximum recursion depth exceeded"),
        ("returns_a_tuple", FailureKind.EXCEPTION, f"{RETURNED} a value of type tuple; {MUST}"),
        ("returns_nothing", FailureKind.EXCEPTION, f"{RETURNED} None; {MUST}"),
        ("holds_nothing", FailureKind.EXCEPTION, f"{RETURNED} None; {MUST}"),
        ("is_a_coroutine", FailureKind.EXCEPTION, f"{RETURNED} a value of type coroutine; {MUST}"),
    ],
)
def test_what_the_objective_does_wrong_is_a_failed_trial(measure, mood, failure, message):
    ended = measure(trial(mood)).trial
    assert (ended.failure.kind, ended.failure.message) == (failure, message)
    assert measure(trial("well")).trial.state is TrialState.COMPLETE


def test_an_exception_has_its_traceback_from_the_objective_on(measure):
    traceback = measure(trial("raises")).trial.failure.traceback
    assert traceback.startswith("Traceback (most recent call last):\n  File ")
    assert "moody_objective.py" in traceback.splitlines()[1]
    assert traceback.endswith("RuntimeError: a mood\n")


def test_a_copy_of_the_params_is_given(measure):
    ended = measure(trial("well", 50)).trial
    assert ended.params == {"mood": "well", "x": 0.5}


def test_a_model_travels_with_its_lambda(measure):
    assert measure(trial("keeps_a_lambda", 50)).evaluation.model.scale(4.0) == 2.0


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("keeps_a_lock", "TypeError: cannot pickle '_thread.lock' object"),
        ("keeps_what_cannot_be_read_back", "ValueError: could not convert string to float: 'one'"),
    ],
)
def test_a_model_that_cannot_travel_is_left_out_and_the_trial_says_so(measure, kind, mood, reason):
    outcome = measure(trial(mood, 50))
    assert outcome.trial.value == 0.5
    if kind != "thread":  # in threads it need not travel: saving it shows that
        assert outcome.trial.warnings == (f"its model is not saved: {reason}",)
        assert outcome.evaluation.model is None


def test_what_is_no_plain_value_becomes_one_or_is_left_out(measure):
    outcome = measure(trial("returns_odd_things", 50))
    ended, evaluation = outcome.trial, outcome.evaluation
    assert (ended.value, type(ended.value)) == (0.5, float)
    assert ended.metrics == {"loss": 0.5, "one": 1.0}
    assert evaluation.curves == {"loss": (0.0, 1.0)}
    assert evaluation.artifacts == {"a.json": {"eye": [[1.0, 0.0], [0.0, 1.0]]}}
    assert ended.warnings == (
        "metric 'auc' is left out: TypeError: a NoneType is no number",
        "metric 'nan' is left out: ValueError: it is nan",
        "artifact 'b.json' is left out: TypeError: a lock is no value of JSON",
    )
    assert measure(trial("returns_a_number", 50)).trial.value == 0.5
    assert measure(trial("has_no_names", 50)).trial.warnings == (
        "metrics are left out: a NoneType gives no names",
        "curves are left out: a list gives no names",
    )


@pytest.mark.parametrize("mood", ["reports", "goes_on"])
def test_a_training_that_reports_is_stopped_by_its_limits(measure, mood):
    limits = (Limit(2, 1.0, 0.25), Limit(4, 0.1, 0.5))
    outcomes = at_once(measure, [replace(trial(mood), limits=limits)] * 4)
    for outcome in outcomes:
        ended = outcome.trial
        assert (ended.state, ended.value, ended.fidelity) == (TrialState.PRUNED, None, 0.5)
        assert ended.rungs == ((0.25, 0.5), (0.5, 0.25))
        assert outcome.evaluation.reports == tuple((n, 1 / n) for n in range(1, 5))
        assert len(ended.warnings) == (mood == "goes_on")


def test_a_training_that_reports_pauses_where_it_is_to(measure):
    paused = measure(replace(trial("reports"), until=3, fidelity=0.375)).trial
    assert (paused.state, paused.rungs) == (TrialState.PENDING, ((0.375, 1 / 3),))
    whole = measure(replace(paused, until=0, fidelity=1.0))
    assert (whole.trial.state, whole.trial.value) == (TrialState.COMPLETE, 0.0)
    assert [step for step, _ in whole.evaluation.reports] == list(range(1, 9))


def test_a_copy_of_the_process_reveals_nothing(measure, kind):
    outcomes = at_once(measure, [trial("forks"), trial("well")])
    assert outcomes[0].trial.value == outcomes[1].trial.value


def test_what_trainings_share_is_put_back(measure):
    folder = os.getcwd()
    at_once(measure, [trial("changes_its_surroundings", number) for number in range(4)])
    ended = at_once(measure, [trial("looks_around", number) for number in range(4)])
    assert [outcome.trial.metrics["same"] for outcome in ended] == [1.0] * 4
    assert os.getcwd() == folder


def test_files_of_the_user_stand_in_for_nobody_elses(measure):
    ended = measure(trial("imports")).trial
    assert (ended.failure, ended.metrics) == (None, {"taken": 0.0})


def test_a_trial_whose_worker_was_killed_is_tried_elsewhere(measure, kind, folder):
    if kind == "thread":
        pytest.skip("a thread that kills its process ends the study")
    (folder / "built" / "killed").unlink(missing_ok=True)
    alone = measure(trial("well"))
    outcome = measure(trial("is_killed_once"))
    assert outcome.trial.value == alone.trial.value
    assert outcome.trial.note.startswith("retried after: ")
    for_good = measure(trial("is_killed")).trial
    assert for_good.failure.kind is FailureKind.LOST_WORKER
    assert for_good.note.count("retried after: ") == RETRIES[kind]
    after = at_once(measure, [trial("well", number) for number in range(4)])
    assert {each.trial.state for each in after} == {TrialState.COMPLETE}
