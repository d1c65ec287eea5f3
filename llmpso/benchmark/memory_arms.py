"""What memory of earlier studies is worth, and what it costs where it misleads.

Earlier studies are those that this library's own search made of other data sets: 30 evaluations
each, with a seed of their own. A study never sees its own data set. Those of the tables remember
all others of the same benchmark; those of LCBench only the data sets for development.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from llmpso.advisor import Advisor, Task
from llmpso.advisor.start_question import ModelStart
from llmpso.backends.base import Backend
from llmpso.benchmark.curve_problems import TOP_SHARE, scale_of
from llmpso.benchmark.lcbench import DEVELOPMENT, LCBench
from llmpso.benchmark.lookup_table import Scale, searched
from llmpso.benchmark.published_pso import PublishedPSO
from llmpso.benchmark.rivals import optuna_search
from llmpso.benchmark.tables import DEVELOPMENT_TABLES, REPORT_TABLES, TableObjective
from llmpso.memory.memory import StudyMemory
from llmpso.memory.past_study import PastStudy, PastTrial
from llmpso.objectives.base import Objective
from llmpso.search.multi_fidelity import MultiFidelitySearch
from llmpso.search.optimizer import Optimizer
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.space import Params, SearchSpace
from llmpso.trial import Trial

N_EARLIER = 30
"""Evaluations of an earlier study."""

EARLIER_SEED = 1_000
"""Added to a study's seed, it is that of its earlier studies."""

BATCH = 2
"""Short trainings that are proposed together."""


@dataclass(frozen=True, slots=True)
class MemoryProblem:
    """A table, or a data set of LCBench, by its name."""

    name: str
    folder: str = ""
    """That of LCBench."""

    @property
    def others(self) -> tuple["MemoryProblem", ...]:
        """The data sets that it may remember."""
        if self.folder:
            names: Sequence[str] = DEVELOPMENT
        else:
            family = self.name.partition("/")[0]
            names = [name for name in ALL_TABLES if name.startswith(family)]
        return tuple(MemoryProblem(name, self.folder) for name in names if name != self.name)


ALL_TABLES = DEVELOPMENT_TABLES + REPORT_TABLES


@lru_cache(maxsize=64)
def opened(problem: MemoryProblem) -> tuple[TableObjective | LCBench, Scale]:
    """The objective of a problem, and what its values mean."""
    if not problem.folder:
        table = TableObjective(problem.name)
        return table, table.scale
    bench = LCBench(Path(problem.folder), problem.name)
    return bench, scale_of(bench.reference, TOP_SHARE["LCBench"])


@lru_cache(maxsize=1024)
def past_study(problem: MemoryProblem, seed: int) -> PastStudy:
    """An earlier study of a problem."""
    objective, _ = opened(problem)
    search = SurrogateAssistedSearch(objective.space, seed=EARLIER_SEED + seed)
    trials = searched(search, lambda trial: measure(objective, trial), N_EARLIER)
    past = tuple(PastTrial(params=dict(t.params), value=t.value or 0.0) for t in trials)
    return PastStudy(
        name=problem.name,
        reference=f"{problem.name}, seed {seed}",
        description={"task": objective.description},
        trials=past,
    )


def measure(objective: Objective, trial: Trial) -> Trial:
    """A trial after its training to its fidelity."""
    evaluation = objective.evaluate(trial.params, fidelity=trial.fidelity, seed=trial.seed)
    return trial.measured(evaluation, 0.0)


def earlier_studies(problem: MemoryProblem, seed: int) -> list[PastStudy]:
    """The studies that a study of a problem may remember, in an order drawn by its seed."""
    others = problem.others
    order = np.random.default_rng([seed, len(problem.name)]).permutation(len(others))
    return [past_study(others[place], seed) for place in order]


def true(study: PastStudy, space: SearchSpace, rng: np.random.Generator) -> PastStudy:
    """An earlier study as it is."""
    return study


def worst(study: PastStudy, space: SearchSpace, rng: np.random.Generator) -> PastStudy:
    """Misleading: only the worst third of the trials is remembered."""
    ranked = sorted(study.trials, key=lambda trial: -trial.value)
    return study.model_copy(update={"trials": tuple(ranked[: len(ranked) // 3])})


def flipped(study: PastStudy, space: SearchSpace, rng: np.random.Generator) -> PastStudy:
    """Misleading: the metric has the wrong sign."""
    trials = [trial.model_copy(update={"value": -trial.value}) for trial in study.trials]
    return study.model_copy(update={"trials": tuple(trials)})


def placebo(study: PastStudy, space: SearchSpace, rng: np.random.Generator) -> PastStudy:
    """As many trials, configurations and values drawn blindly."""
    drawn = [space.decode(rng.random(len(space))) for _ in study.trials]
    trials = tuple(PastTrial(params=each, value=float(rng.random())) for each in drawn)
    return study.model_copy(update={"trials": trials})


Remember = Callable[[PastStudy, SearchSpace, np.random.Generator], PastStudy]


@dataclass(frozen=True, slots=True)
class MemoryArm:
    """A way to search, and what it remembers."""

    method: str
    """`pso`, `guided` or an Optuna sampler."""
    remember: Remember | None = None
    """What becomes of each earlier study; none are remembered if not given."""
    n_best: int = 0
    """Take as starts the best of so many studies, in place of the memory of the product."""
    n_starts: int = 0
    """Take as starts so many of the portfolio, in place of the memory of the product."""
    asks_model: bool = False
    """A language model names a start; it reads of what is remembered."""
    racing: bool = False
    control: str = ""
    """The arm that it is compared with; our search without memory if not named."""


ARMS: Mapping[str, MemoryArm] = {
    "pso": MemoryArm("pso"),
    "guided": MemoryArm("guided"),
    "best of one": MemoryArm("guided", true, n_best=1),
    "best of three": MemoryArm("guided", true, n_best=3),
    "best of all": MemoryArm("guided", true, n_best=99),
    "portfolio alone": MemoryArm("guided", true, n_starts=3),
    "memory": MemoryArm("guided", true),
    "misleading: worst": MemoryArm("guided", worst),
    "misleading: flipped": MemoryArm("guided", flipped),
    "placebo": MemoryArm("guided", placebo),
    "model": MemoryArm("guided", asks_model=True),
    "memory + model": MemoryArm("guided", true, asks_model=True, control="memory"),
    "optuna tpe": MemoryArm("tpe"),
    "optuna tpe + starts": MemoryArm("tpe", true, n_starts=3),
    "optuna gp + starts": MemoryArm("gp", true, n_starts=3),
    "guided racing": MemoryArm("guided", racing=True),
    "memory racing": MemoryArm("guided", true, racing=True),
    "memory + model racing": MemoryArm(
        "guided", true, asks_model=True, racing=True, control="memory racing"
    ),
    "misleading racing": MemoryArm("guided", flipped, racing=True),
}
"""By name. `memory` is the product."""


def search_of(
    arm: MemoryArm, problem: MemoryProblem, seed: int, backend: Backend | None = None
) -> Optimizer:
    """The search of an arm at the start of a study.

    Args:
        arm: The way to search.
        problem: What is searched.
        seed: Of the study.
        backend: The language model of the arms that ask one.
    """
    objective, _ = opened(problem)
    space, options = objective.space, dict[str, Any]()
    if arm.remember is not None:
        rng = np.random.default_rng([seed, EARLIER_SEED])
        found = earlier_studies(problem, seed)
        studies = [arm.remember(study, space, rng) for study in found]
        options |= _remembered(arm, space, studies)
    if arm.asks_model and backend is not None:
        task = Task(objective.description, objective.metric)
        earlier = options.get("memory")
        options["advisor"] = ModelStart(Advisor(backend, task), earlier=earlier)
    match arm.method:
        case "pso":
            return PublishedPSO(space, seed=seed, **options)
        case "guided" if arm.racing:
            return MultiFidelitySearch(space, seed=seed, batch_size=BATCH, **options)
        case "guided":
            return SurrogateAssistedSearch(space, seed=seed, **options)
    return optuna_search(space, arm.method, seed=seed, **options)


def _remembered(
    arm: MemoryArm, space: SearchSpace, studies: Sequence[PastStudy]
) -> dict[str, Any]:
    if arm.n_best:
        best = [study.best.params for study in studies[: arm.n_best] if study.best]
        start = list({space.key(params): params for params in best}.values())
        return {"start": start, "n_particles": max(4, len(start) + 1)}
    memory = StudyMemory(space, studies)
    return (
        {"start": _portfolio(space, memory, arm.n_starts)} if arm.n_starts else {"memory": memory}
    )


def _portfolio(space: SearchSpace, memory: StudyMemory, n_starts: int) -> list[Params]:
    chosen: dict[Any, Params] = {}
    while len(chosen) < n_starts and (params := memory.start(lambda p: space.key(p) in chosen)):
        chosen[space.key(params)] = params
    return list(chosen.values())
