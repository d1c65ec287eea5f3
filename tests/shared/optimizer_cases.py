"""Every optimizer, spaces to search with it, and how a study of it is told what was measured."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from llmpso import LLMPSO, Advisor, Task
from llmpso.backends.base import Request
from llmpso.benchmark.controls import Placebo
from llmpso.benchmark.metaheuristics import DifferentialEvolution, MetaheuristicSearch, cma_es
from llmpso.benchmark.rivals import optuna_search, pyswarms_search, random_search
from llmpso.memory.memory import StudyMemory
from llmpso.memory.past_study import PastStudy, PastTrial
from llmpso.search.optimizer import Optimizer
from llmpso.search.pso import PSO
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.space import Categorical, Fixed, Float, Integer, Ordinal, SearchSpace
from llmpso.trial import Evaluation, Failure, FailureKind, Trial
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
