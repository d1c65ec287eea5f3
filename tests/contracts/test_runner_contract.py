"""One suite for every runner: threads, processes, and real Dask and Ray clusters."""

import importlib.util
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmpso.objectives.registry import ObjectiveSpec
from llmpso.running.evaluate import Evaluate, Outcome, evaluate_persistently
from llmpso.running.runner import KINDS, Runner, evaluator
from llmpso.trial import FailureKind, Source, Trial, TrialState

N_WORKERS = 2

OBJECTIVE = '''
import os, signal, threading, time
from pathlib import Path
import torch
from llmpso import Categorical, Evaluation, Float, SearchSpace

BUILT = Path(BUILT_FOLDER)


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
        return getattr(self, params["mood"])(params["x"], seed)

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

    def cannot_travel(self, x, seed):
        return Evaluation(x, model=threading.Lock())
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runners")


@pytest.fixture(scope="module")
def moody(folder: Path) -> Iterator[ObjectiveSpec]:
    (folder / "built").mkdir()
    source = OBJECTIVE.replace("BUILT_FOLDER", repr(str(folder / "built")))
    (folder / "moody_objective.py").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield ObjectiveSpec("moody_objective:Moody")


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    package = {"dask": "distributed", "ray": "ray"}.get(request.param)
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install '.[{request.param}]'")
    return request.param


@pytest.fixture(scope="module")
def measure(moody: ObjectiveSpec, kind: str) -> Iterator[Evaluate]:
    with evaluator(moody, Runner(kind), n_workers=N_WORKERS, n_threads=1) as measure:
        yield measure


def trial(mood: str, number: int = 0) -> Trial:
    params = {"mood": mood, "x": number / 100}
    return Trial(number, params, Source.SWARM, iteration=0, particle=0, seed=7 + number)


def at_once(measure: Evaluate, trials: list[Trial]) -> list[Outcome]:
    with ThreadPoolExecutor(N_WORKERS) as threads:
        return list(threads.map(measure, trials))


pytestmark = pytest.mark.slow


def test_the_same_trials_give_the_same_values(moody, measure):
    trials = [trial("well", number) for number in range(8)]
    with evaluator(moody, Runner("thread"), n_workers=1, n_threads=1) as here:
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
    ],
)
def test_what_the_objective_does_wrong_is_a_failed_trial(measure, mood, failure, message):
    told = measure(trial(mood)).trial
    assert (told.failure.kind, told.failure.message) == (failure, message)
    assert measure(trial("well")).trial.state is TrialState.COMPLETE


def test_a_model_that_cannot_travel_is_a_failed_trial(measure, kind):
    told = measure(trial("cannot_travel")).trial
    assert (told.failure is None) == (kind == "thread")
    if told.failure is not None:
        assert told.failure.kind is FailureKind.EXCEPTION
        assert told.failure.message.startswith("TypeError: cannot pickle")


def test_a_trial_whose_worker_was_killed_is_tried_elsewhere(measure, kind, folder):
    if kind == "thread":
        pytest.skip("a thread that kills its process ends the study")
    (folder / "built" / "killed").unlink(missing_ok=True)
    alone = measure(trial("well"))
    outcome = evaluate_persistently(measure, trial("is_killed_once"))
    assert outcome.trial.value == alone.trial.value
    assert outcome.trial.note.startswith("tried again after: ")
    for_good = evaluate_persistently(measure, trial("is_killed")).trial
    assert for_good.failure.kind is FailureKind.LOST_WORKER
    after = at_once(measure, [trial("well", number) for number in range(4)])
    assert {each.trial.state for each in after} == {TrialState.COMPLETE}
