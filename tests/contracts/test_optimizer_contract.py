"""One suite over every optimizer: what every optimizer with ask and tell must satisfy."""

import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from llmpso import LLMPSO, Advisor, Task
from llmpso.backends.base import Request
from llmpso.benchmark.controls import Placebo
from llmpso.benchmark.metaheuristics import DifferentialEvolution, MetaheuristicSearch, cma_es
from llmpso.benchmark.rivals import optuna_search, pyswarms_search, random_search
from llmpso.errors import SpaceError, SpecError, TellError
from llmpso.memory.memory import StudyMemory
from llmpso.memory.past_study import PastStudy, PastTrial
from llmpso.search.optimizer import Optimizer
from llmpso.search.pso import PSO
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.search.swarm import Swarm
from llmpso.space import Categorical, Fixed, Float, Integer, Ordinal, SearchSpace
from llmpso.trial import Evaluation, Failure, FailureKind, Source, Trial
from scripted_backend import ScriptedBackend

SPACE = SearchSpace(
    {
        "rate": Float(1e-4, 1.0, log=True),
        "layers": Integer(1, 4),
        "units": Ordinal([16, 32, 64, 128]),
        "kind": Categorical(["gru", "lstm", "rnn"]),
    }
)
FOREST = SearchSpace(
    {
        "learner": Categorical(["svm", "glmnet", "ranger", "xgboost"]),
        "svm.cost": Float(1e-4, 1e3, log=True, when={"learner": "svm"}),
        "svm.kernel": Categorical(["linear", "polynomial", "radial"], when={"learner": "svm"}),
        "svm.gamma": Float(1e-4, 1e3, log=True, when={"svm.kernel": "radial"}),
        "svm.degree": Integer(2, 5, when={"svm.kernel": "polynomial"}),
        "glmnet.alpha": Float(0, 1, step=0.1, when={"learner": "glmnet"}),
        "ranger.trees": Integer(1, 200, log=True, when={"learner": "ranger"}),
        "ranger.rule": Categorical(["gini", "extratrees"], when={"learner": "ranger"}),
        "ranger.splits": Integer(1, 10, when={"ranger.rule": "extratrees"}),
        "xgb.booster": Categorical(["gblinear", "gbtree", "dart"], when={"learner": "xgboost"}),
        "xgb.eta": Float(1e-3, 1, log=True, when={"xgb.booster": ["gbtree", "dart"]}),
        "xgb.depth": Integer(1, 15, when={"xgb.booster": ["gbtree", "dart"]}),
        "xgb.bin": Ordinal([64, 128, 256], when={"xgb.depth": "> 6", "learner": "xgboost"}),
        "imputation": Categorical(["mean", "median", None, (0, 1)]),
    }
)
"""Fourteen hyperparameters, most of which count for one learner only."""
FINITE_FOREST = SearchSpace(
    {
        "a": Integer(1, 4),
        "b": Categorical(["x", "y", "z"]),
        "c": Integer(1, 3, when={"a": ">= 3", "b": ["x", "y"]}),
        "d": Categorical([True, None], when={"c": 2}),
        "e": Fixed(1, when={"b": "z"}),
    }
)
FINITE = SearchSpace({"a": Integer(1, 4), "b": Categorical(["x", "y", "z"])})
GUESS = {"rate": 0.01, "layers": 2, "units": 64, "kind": "lstm"}


@dataclass(frozen=True)
class Case:
    build: Callable[..., Optimizer]
    needs: str = ""
    repeats: bool = False
    """The method may propose a configuration twice, and so never ends."""


def centre(request: Request) -> str:
    """A model that always names the middle of every range."""
    items = request.schema["properties"]["suggestions"]["items"]["properties"]
    position = {name: _middle(rule) for name, rule in items["position"]["properties"].items()}
    one = {"position": position, "velocity": dict.fromkeys(position, 1.0)}
    return json.dumps({"suggestions": [one] * 2})


def _middle(rule: dict[str, Any]) -> object:
    if "enum" in rule:
        return rule["enum"][0]
    middle = (rule["minimum"] + rule["maximum"]) / 2
    return int(middle) if "integer" in rule["type"] else middle


def _paper(space: SearchSpace, **options: Any) -> LLMPSO:
    return LLMPSO(space, Advisor(ScriptedBackend(centre), Task("A test.", "value")), **options)


def _cma(space: SearchSpace, seed: int = 0, **options: Any) -> MetaheuristicSearch:
    return MetaheuristicSearch(space, cma_es(seed), seed=seed, **options)


def _assisted_cma(space: SearchSpace, seed: int = 0, **options: Any) -> SurrogateAssistedSearch:
    return SurrogateAssistedSearch(space, make_population=cma_es(seed), seed=seed, **options)


def _remembering(space: SearchSpace, **options: Any) -> SurrogateAssistedSearch:
    """After a study of the same space that was good where the coordinates are small."""
    rng = np.random.default_rng(7)
    tried = [space.decode(place) for place in rng.random((9, len(space)))]
    trials = [PastTrial(params=p, value=float(space.encode(p).sum())) for p in tried]
    study = PastStudy(name="past", reference="run", trials=trials)
    return SurrogateAssistedSearch(space, memory=StudyMemory(space, [study]), **options)


CASES = {
    "pso": Case(PSO),
    "pso-ring": Case(lambda space, **options: PSO(space, topology="ring", **options)),
    "paper": Case(_paper),
    "guided": Case(SurrogateAssistedSearch),
    "guided-batch": Case(partial(SurrogateAssistedSearch, batch_size=3)),
    "guided-memory": Case(_remembering),
    "guided-memory-batch": Case(partial(_remembering, batch_size=3)),
    "guided-placebo": Case(
        lambda space, **o: SurrogateAssistedSearch(space, advisor=Placebo(1), **o)
    ),
    "de": Case(partial(MetaheuristicSearch, make_population=DifferentialEvolution)),
    "guided-de": Case(partial(SurrogateAssistedSearch, make_population=DifferentialEvolution)),
    "cma": Case(_cma, "cmaes"),
    "guided-cma": Case(_assisted_cma, "cmaes"),
    "random": Case(random_search, repeats=True),
    "optuna-tpe": Case(lambda space, **o: optuna_search(space, "tpe", **o), "optuna", True),
    "optuna-cma": Case(lambda space, **o: optuna_search(space, "cma", **o), "cmaes", True),
    "pyswarms": Case(pyswarms_search, "pyswarms", True),
}


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    found = CASES[request.param]
    if found.needs and importlib.util.find_spec(found.needs) is None:
        pytest.skip(f"needs {found.needs}")
    return found


def value(trial: Trial) -> float:
    """A smooth landscape over either space, with its lowest place inside."""
    params = trial.params
    if "a" in params:
        return abs(params["a"] - 3) + "xyz".index(params["b"])
    if "learner" in params:
        places = [FOREST[n].encode(v) for n, v in params.items() if FOREST[n].when]
        return sum((place - 0.6) ** 2 for place in places) + len(params["learner"]) / 10
    penalty = {"gru": 0.2, "lstm": 0.0, "rnn": 1.0}[params["kind"]]
    return abs(params["rate"] - 0.01) * 10 + (params["layers"] - 2) ** 2 + penalty


def completed(trial: Trial) -> Trial:
    return trial.completed(Evaluation(value(trial)), 0.0)


def failed(trial: Trial) -> Trial:
    return trial.failed(Failure(FailureKind.EXCEPTION, "boom"), 0.0)


def pruned(trial: Trial) -> Trial:
    """Stopped early, where it seemed to be far better than anything."""
    return replace(trial, fidelity=0.25).measured(Evaluation(-1000.0), 0.0).pruned()


def study(
    optimizer: Optimizer,
    budget: int,
    tell: Callable[[Trial], Trial] = completed,
    order: Callable[[Sequence[Trial]], Sequence[Trial]] = list,
) -> list[Trial]:
    trials: list[Trial] = []
    while len(trials) < budget:
        asked = optimizer.ask(budget - len(trials))
        if not asked:
            break
        done = [tell(trial) for trial in asked]
        optimizer.tell(order(done))
        trials += done
    return trials


def test_same_seed_same_study(case: Case) -> None:
    first, second = (study(case.build(SPACE, seed=3), 20) for _ in range(2))
    assert first == second


def test_other_seed_other_study(case: Case) -> None:
    first, second = (study(case.build(SPACE, seed=seed), 20) for seed in (1, 2))
    assert [trial.params for trial in first] != [trial.params for trial in second]


def test_never_outside_the_space(case: Case) -> None:
    for trial in study(case.build(SPACE, seed=0), 30):
        assert SPACE.validate(trial.params) == trial.params


def test_a_conditional_space_is_searched(case: Case) -> None:
    trials = study(case.build(FOREST, seed=0), 30)
    assert trials == study(case.build(FOREST, seed=0), 30)
    assert all(FOREST.validate(trial.params) == trial.params for trial in trials)
    if not case.repeats:
        assert len({FOREST.key(trial.params) for trial in trials}) == 30
    members = getattr(case.build(FOREST, seed=0), "particles", None)
    assert members is None or members.swarm.positions.shape[1] == len(FOREST)


def test_members_stay_in_the_cube_of_a_conditional_space(case: Case) -> None:
    optimizer = case.build(FOREST, seed=1)
    study(optimizer, 30, tell=lambda t: failed(t) if t.number % 3 else completed(t))
    members = getattr(optimizer, "particles", getattr(optimizer, "population", None))
    if members is None:
        pytest.skip("no members")
    places = [members.position(member) for member in range(members.n_members)]
    assert all(((place >= 0) & (place <= 1)).all() for place in places)


def test_every_conditional_configuration_once_then_the_end(case: Case) -> None:
    if case.repeats:
        pytest.skip("this method may repeat itself")
    trials = study(case.build(FINITE_FOREST, seed=0), 100)
    assert len({FINITE_FOREST.key(trial.params) for trial in trials}) == FINITE_FOREST.size
    assert len(trials) == FINITE_FOREST.size == 24


def test_what_does_not_count_in_a_start_is_left_out(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    if case.repeats:
        pytest.skip("a start of our own methods")
    start = {"a": 1, "b": "x", "c": 3}
    optimizer = case.build(FINITE_FOREST, seed=0, start=[start])
    assert optimizer.ask()[0].params == {"a": 1, "b": "x"}
    assert "start[0]: c counts only if a >= 3 and b is 'x' or 'y', so it is left" in caplog.text


CONSTRAINED = SearchSpace(dict(SPACE), ["layers * units <= 128", lambda p: p["rate"] < 0.1])


def test_what_violates_a_constraint_is_never_proposed(case: Case) -> None:
    if case.repeats:
        pytest.skip("other libraries do not know our constraints")
    trials = study(case.build(CONSTRAINED, seed=0), 30)
    assert len({CONSTRAINED.key(trial.params) for trial in trials}) == 30
    assert not any(CONSTRAINED.violated(trial.params) for trial in trials)


def test_every_allowed_configuration_once_then_the_end(case: Case) -> None:
    if case.repeats:
        pytest.skip("this method may repeat itself")
    space = SearchSpace(dict(FINITE), ["a >= 3 or b == 'x'"])
    trials = study(case.build(space, seed=0), 100)
    assert len({space.key(trial.params) for trial in trials}) == len(trials) == 8


def test_constraints_that_forbid_everything_are_found_before_the_first_trial(case: Case) -> None:
    if case.repeats:
        pytest.skip("other libraries do not know our constraints")
    with pytest.raises(SpaceError, match=r"none of the 12 configurations satisfies the const"):
        case.build(SearchSpace(dict(FINITE), ["a > 2", "a < 2"]))
    with pytest.raises(SpaceError, match=r"none of 2000 configurations that were drawn satisfie"):
        case.build(SPACE.with_constraints("rate > 1"))
    with pytest.raises(SpaceError, match=r"start\[0\] violates 'layers \* units <= 128'"):
        case.build(CONSTRAINED, start=[GUESS | {"layers": 4}])


def test_trials_are_numbered_in_order(case: Case) -> None:
    trials = study(case.build(SPACE, seed=0), 20)
    assert [trial.number for trial in trials] == list(range(20))


def test_every_configuration_once_then_the_end(case: Case) -> None:
    if case.repeats:
        pytest.skip("this method may repeat itself")
    trials = study(case.build(FINITE, seed=0), 100)
    assert len(trials) == FINITE.size
    assert len({FINITE.key(trial.params) for trial in trials}) == FINITE.size


def test_start_comes_first(case: Case) -> None:
    first = study(case.build(SPACE, seed=0, start=[GUESS]), 8)[0]
    assert first.params == GUESS
    assert first.source is Source.START


def test_limit_is_respected(case: Case) -> None:
    optimizer = case.build(SPACE, seed=0)
    assert len(optimizer.ask(1)) == 1


def test_order_of_telling_does_not_matter(case: Case) -> None:
    forward = study(case.build(SPACE, seed=5), 20)
    backward = study(case.build(SPACE, seed=5), 20, order=lambda trials: trials[::-1])
    assert forward == backward


def test_a_study_of_failures_goes_on(case: Case) -> None:
    trials = study(case.build(SPACE, seed=0), 15, tell=failed)
    assert len(trials) == 15


def test_some_failures_do_not_stop_it(case: Case) -> None:
    def tell(trial: Trial) -> Trial:
        return failed(trial) if trial.params["kind"] == "rnn" else completed(trial)

    trials = study(case.build(SPACE, seed=0), 30, tell=tell)
    assert any(trial.value is not None for trial in trials)


def test_pruned_trials_do_not_stop_it(case: Case) -> None:
    def tell(trial: Trial) -> Trial:
        return pruned(trial) if trial.number % 2 else completed(trial)

    optimizer = case.build(SPACE, seed=0)
    trials = study(optimizer, 30, tell=tell)
    assert len(trials) == 30
    if isinstance(swarm := _swarm(optimizer), Swarm):
        assert swarm.gbest_value == min(t.value for t in trials if t.value is not None)


def test_equal_values_do_not_stop_it(case: Case) -> None:
    def tell(trial: Trial) -> Trial:
        return trial.completed(Evaluation(1.0), 0.0)

    assert len(study(case.build(SPACE, seed=0), 15, tell=tell)) == 15


def test_failed_trials_never_update_the_incumbent(case: Case) -> None:
    optimizer = case.build(SPACE, seed=0)
    if _swarm(optimizer) is None:
        pytest.skip("no swarm")
    optimizer.tell([failed(trial) for trial in optimizer.ask()])
    assert _swarm(optimizer).gbest_index is None


def _swarm(optimizer: Optimizer) -> Any:
    """The state of its swarm; None where there is none."""
    members = getattr(optimizer, "particles", getattr(optimizer, "population", None))
    return getattr(members, "swarm", None)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_particles": 1}, SpecError, "n_particles is 1; a swarm needs at least 2"),
        ({"seed": -1}, SpecError, "seed is -1; it must be 0 or more"),
        (
            {"start": [{"layers": 2}]},
            SpaceError,
            r"start\[0\]: rate is missing; units is missing; kind is missing",
        ),
        (
            {"start": [GUESS] * 2},
            SpaceError,
            r"start\[1\] is the same configuration as an earlier one",
        ),
        (
            {"start": [GUESS] * 7, "n_particles": 6},
            SpecError,
            "start holds 7 configurations, more than n_particles=6",
        ),
    ],
)
def test_wrong_options_are_refused(
    case: Case, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    if case.repeats:
        pytest.skip("no swarm")
    with pytest.raises(error, match=message):
        case.build(SPACE, **options)


def test_an_unknown_topology_is_refused() -> None:
    with pytest.raises(SpecError, match="topology is 'web'; it must be one of: star, ring"):
        PSO(SPACE, topology="web")


def test_asking_again_is_refused_or_waits(case: Case) -> None:
    optimizer = case.build(SPACE, seed=0)
    optimizer.ask()
    if isinstance(optimizer, SurrogateAssistedSearch):
        assert optimizer.ask() == []
    else:
        with pytest.raises(TellError, match="before trial"):
            optimizer.ask()


def test_telling_what_was_not_asked_is_refused(case: Case) -> None:
    optimizer = case.build(SPACE, seed=0)
    asked = optimizer.ask()
    with pytest.raises(TellError, match="last ask|under way"):
        optimizer.tell([completed(trial) for trial in asked] * 2)
    optimizer.tell([completed(trial) for trial in asked])


@pytest.mark.parametrize("name", [name for name in CASES if "guided" in name], ids=str)
def test_some_may_be_told_while_others_are_under_way(name: str) -> None:
    case = CASES[name]
    if case.needs and importlib.util.find_spec(case.needs) is None:
        pytest.skip(f"needs {case.needs}")
    optimizer, seen = case.build(SPACE, batch_size=3, seed=0), list[Trial]()
    under_way = optimizer.ask()
    while len(seen) < 25:
        # The last that began ends first.
        seen.append(completed(under_way.pop()))
        optimizer.tell(seen[-1:])
        under_way += (asked := optimizer.ask())
        assert len(under_way) == 3 or not asked
        members = [trial.particle for trial in under_way]
        assert len(set(members)) == len(members)
    configurations = {SPACE.key(trial.params) for trial in (*seen, *under_way)}
    assert len(configurations) == len(seen) + len(under_way)


def test_pending_trials_are_refused(case: Case) -> None:
    optimizer = case.build(SPACE, seed=0)
    with pytest.raises(TellError, match="pending"):
        optimizer.tell(optimizer.ask())
