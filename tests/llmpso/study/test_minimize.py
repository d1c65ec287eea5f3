import math
import os
import signal
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator

import numpy as np
import pytest

from llmpso import Evaluation, Float, Integer, SearchSpace, minimize
from llmpso.errors import LLMPSOError, SpaceError, SpecError
from llmpso.improvements import improvements
from llmpso.running.evaluate import evaluate_trial, failure_kind
from llmpso.study.stopping import N_ALIKE, StopReason
from llmpso.trial import FailureKind, Source, Trial, TrialState

SPACE = SearchSpace({"x": Float(-5.0, 5.0), "y": Float(-5.0, 5.0)})
TRIAL = Trial(number=0, params={"x": 1.0}, source=Source.SWARM, iteration=0, particle=0, seed=1)


def bowl(params) -> float:
    return params["x"] ** 2 + params["y"] ** 2


class Fails:
    """An objective that fails in a given way."""

    def __init__(self, error: BaseException | None = None, value: float = 1.0) -> None:
        self.error = error
        self.value = value

    def evaluate(self, params, *, fidelity, seed) -> Evaluation:
        if self.error is not None:
            raise self.error
        return Evaluation(self.value)


def test_minimize_finds_the_bottom_of_a_bowl() -> None:
    result = minimize(bowl, SPACE, evaluations=120, method="pso", seed=3)
    assert len(result.trials) == 120
    assert result.stop_reason is StopReason.BUDGET
    assert [trial.number for trial in result.trials] == list(range(120))
    assert result.best.value == min(trial.value for trial in result.trials) < 0.01
    assert improvements(result.trials)[-1] == result.best


def test_a_budget_is_spent_to_the_evaluation() -> None:
    assert len(minimize(bowl, SPACE, evaluations=8, method="pso").trials) == 8


def test_an_exhausted_space_ends_the_study() -> None:
    space = SearchSpace({"x": Integer(0, 2), "y": Integer(0, 2)})
    result = minimize(bowl, space, evaluations=50, method="pso")
    assert result.stop_reason is StopReason.EXHAUSTED
    assert len(result.trials) == 9
    assert result.best.params == {"x": 0, "y": 0}


def test_the_papers_method_without_an_advisor_says_that_it_is_plain_pso(caplog) -> None:
    paper = minimize(bowl, SPACE, evaluations=12, method="paper", seed=1)
    plain = minimize(bowl, SPACE, evaluations=12, method="pso", seed=1)
    assert [trial.params for trial in paper.trials] == [trial.params for trial in plain.trials]
    assert "the study is plain PSO" in caplog.text


def test_workers_change_nothing_but_the_time() -> None:
    def slow(params) -> float:
        time.sleep(0.02 * params["x"] % 0.01)
        return bowl(params)

    alone = minimize(slow, SPACE, evaluations=18, method="pso", seed=2)
    together = minimize(slow, SPACE, evaluations=18, method="pso", seed=2, n_workers=4)
    assert [t.params for t in alone.trials] == [t.params for t in together.trials]


def test_each_trial_is_reported_as_it_ends() -> None:
    reported: list[Trial] = []
    minimize(bowl, SPACE, evaluations=12, method="pso", on_trial=reported.append)
    assert [trial.number for trial in reported] == list(range(12))


def test_workers_run_at_once() -> None:
    both = threading.Barrier(2, timeout=10)
    minimize(lambda p: both.wait() * 0.0, SPACE, evaluations=2, method="pso", n_workers=2)
    assert not both.broken


@pytest.mark.parametrize(
    ("objective", "kind"),
    [
        (Fails(KeyError("units")), FailureKind.EXCEPTION),
        (Fails(MemoryError()), FailureKind.OUT_OF_MEMORY),
        (Fails(TimeoutError("10 s")), FailureKind.TIMEOUT),
        (Fails(value=math.nan), FailureKind.NAN),
        (Fails(value=math.inf), FailureKind.NAN),
    ],
)
def test_a_failure_is_a_state_with_a_kind(objective, kind) -> None:
    trial = evaluate_trial(objective, TRIAL).trial
    assert trial.state is TrialState.FAILED
    assert trial.failure.kind is kind
    assert trial.value is None


def test_torch_out_of_memory_is_known_on_cpu_and_gpu() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert failure_kind(caught.value) is FailureKind.OUT_OF_MEMORY
    assert failure_kind(torch.OutOfMemoryError("CUDA")) is FailureKind.OUT_OF_MEMORY


def test_a_study_survives_failing_regions() -> None:
    class HalfBroken:
        def evaluate(self, params, *, fidelity, seed) -> Evaluation:
            if params["x"] < 0:
                raise RuntimeError("negative")
            return Evaluation(bowl(params))

    result = minimize(HalfBroken(), SPACE, evaluations=60, method="pso", seed=0)
    states = {trial.state for trial in result.trials}
    assert states == {TrialState.COMPLETE, TrialState.FAILED}
    assert result.best.value < 1.0


def test_a_study_of_one_trial_is_told_in_the_singular() -> None:
    assert "<td>1 full training</td>" in minimize(bowl, SPACE, evaluations=1)._repr_html_()
    failed = minimize(Fails(KeyError("k")), SPACE, evaluations=1)
    with pytest.raises(LLMPSOError, match="^the only trial failed: exception"):
        _ = failed.best


def test_a_study_of_failures_has_no_best() -> None:
    result = minimize(Fails(KeyError("k")), SPACE, evaluations=6, method="pso")
    with pytest.raises(LLMPSOError, match="all 6 trials failed: exception"):
        _ = result.best


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as a terminal has it: a command in the background of a script ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_in_a_training_ends_the_study_with_what_was_measured(ctrl_c) -> None:
    started: list[float] = []

    def train(params) -> float:
        started.append(params["x"])
        if len(started) == 5:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        return params["x"]

    result = minimize(train, SPACE, evaluations=30, method="pso")
    assert result.stop_reason is StopReason.INTERRUPTED
    assert [trial.number for trial in result.trials] == [0, 1, 2, 3]
    assert result.best.value == min(started[:4])


def test_ctrl_c_between_trainings_of_several_threads_loses_none_that_runs(ctrl_c) -> None:
    reported: list[Trial] = []

    def interrupt_once(trial: Trial) -> None:
        reported.append(trial)
        if len(reported) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    def train(params) -> float:
        time.sleep(0.05)
        return params["x"]

    result = minimize(
        train, SPACE, evaluations=90, n_workers=2, on_trial=interrupt_once, method="pso"
    )
    assert result.stop_reason is StopReason.INTERRUPTED
    assert 3 <= len(result.trials) == len(reported) < 90
    assert [trial.number for trial in result.trials] == sorted(t.number for t in reported)


def test_a_study_that_is_interrupted_at_once_has_no_best() -> None:
    result = minimize(Fails(KeyboardInterrupt()), SPACE, evaluations=6, method="pso")
    assert (result.trials, result.stop_reason) == ((), StopReason.INTERRUPTED)
    with pytest.raises(LLMPSOError, match="no trial was completed before the study ended"):
        _ = result.best


def test_a_study_whose_first_trials_fail_alike_ends_and_shows_the_traceback() -> None:
    def train(params) -> float:
        return params["rat"]

    result = minimize(train, SPACE, evaluations=60)
    assert (len(result.trials), result.stop_reason) == (N_ALIKE, StopReason.ALL_FAILED)
    with pytest.raises(
        LLMPSOError, match="all 6 trials failed: exception: KeyError: 'rat' .test_"
    ):
        _ = result.best
    try:
        _ = result.best
    except LLMPSOError as error:
        (note,) = error.__notes__
        assert note.startswith("Traceback (most recent call last):")
        assert 'return params["rat"]' in note
    longer = minimize(train, SPACE, evaluations=20, max_failures=15)
    assert (len(longer.trials), longer.stop_reason) == (15, StopReason.FAILURES)


def test_of_what_a_library_raised_the_users_own_line_is_named() -> None:
    def train(params) -> float:
        return ArgumentParser().parse_args(["tune"]).rate

    with pytest.raises(LLMPSOError, match=r"SystemExit: 2 \(test_minimize.py, line"):
        _ = minimize(train, SPACE, evaluations=6).best


def test_only_the_same_exception_from_the_start_ends_a_study() -> None:
    """Not a number may be a region's; so may failures that differ, or follow a success."""

    def differ(params) -> float:
        raise ValueError(f"{params['x']} is too large")

    values = [0.5]
    for train in (lambda params: math.nan, differ, lambda params: values.pop()):
        assert len(minimize(train, SPACE, evaluations=12).trials) == 12


def test_an_objective_may_change_its_params_and_so_may_a_listener() -> None:
    class Changes:
        def evaluate(self, params, *, fidelity, seed) -> Evaluation:
            params["x"] *= 1000
            params["more"] = 1
            return Evaluation(params.pop("y"))

    result = minimize(
        Changes(), SPACE, evaluations=12, on_trial=lambda trial: trial.params.clear()
    )
    for trial in result.trials:
        assert SPACE.validate(trial.params) == trial.params
        assert trial.value == trial.params["y"]


def test_a_class_may_return_a_number() -> None:
    class Plain:
        def evaluate(self, params, *, fidelity, seed) -> float:
            return np.float32(params["x"])

    result = minimize(Plain(), SPACE, evaluations=6)
    assert {type(trial.value) for trial in result.trials} == {float}


def test_an_exit_is_a_failed_trial() -> None:
    def train(params) -> float:
        if params["x"] < 0:
            sys.exit("diverged")
        return params["x"]

    result = minimize(train, SPACE, evaluations=12)
    failures = {trial.failure.message for trial in result.trials if trial.failure}
    assert failures == {"SystemExit: diverged"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluations": 0}, "evaluations is 0; it must be at least 1"),
        ({"method": "ga"}, "method is 'ga'; it must be 'guided', 'paper' or 'pso'"),
        ({"budget": 9}, "there is no option 'budget'; it is evaluations now"),
        ({"champion": "knee"}, "there is no option 'champion'; it is choose now"),
        ({"evalutions": 9}, "there is no option 'evalutions'; did you mean 'evaluations'?"),
        ({"worker": 4}, "there is no option 'worker'; did you mean 'n_workers'?"),
        ({"timeout": 9}, "timeout is an option of the flows, not of a study in a notebook"),
    ],
)
def test_wrong_options_are_refused(options, message) -> None:
    with pytest.raises(SpecError) as caught:
        minimize(bowl, SPACE, **options)
    assert str(caught.value) == message


def test_an_unknown_option_names_only_what_minimize_takes() -> None:
    with pytest.raises(SpecError, match="there is no option 'n_trials'; known: ") as caught:
        minimize(bowl, SPACE, n_trials=9)
    for name in ("csv", "images", "experiment", "workers,"):
        assert f" {name}" not in str(caught.value)


def test_what_cannot_be_called_is_refused_before_any_trial() -> None:
    with pytest.raises(SpecError, match="the objective is of type int; it must be a function"):
        minimize(3, SPACE, evaluations=2)


def test_values_by_name_are_asked_for_as_an_evaluation() -> None:
    result = minimize(lambda params: {"a": 1.0, "b": 2.0}, SPACE, evaluations=2, goals=["a", "b"])
    with pytest.raises(LLMPSOError, match=r"or Evaluation\(values=...\) of several by name"):
        _ = result.best


def test_a_dict_in_the_place_of_a_space_is_refused() -> None:
    with pytest.raises(SpaceError, match="space is of type dict; it must be a SearchSpace, such"):
        minimize(bowl, dict(SPACE), constraint="x < 1")


def test_importing_the_library_loads_no_heavy_package() -> None:
    heavy = {"torch", "openai", "ollama", "prefect", "mlflow"}
    code = f"import sys, llmpso; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_inertia_that_falls_is_refused_where_it_would_change_nothing() -> None:
    with pytest.raises(SpecError, match="decreasing_inertia is for the methods 'pso' and 'paper'"):
        minimize(lambda p: p["x"], SearchSpace({"x": Float(0, 1)}), decreasing_inertia=True)
