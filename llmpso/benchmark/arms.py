"""The arms by name: what is compared, each fully described by plain values."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any

from llmpso.advisor import Advisor, Task
from llmpso.advisor.prompt import PAPER_PROMPT
from llmpso.advisor.start_prompts import chosen_start
from llmpso.advisor.start_question import ModelStart
from llmpso.backends.base import Backend
from llmpso.benchmark.controls import Anonymous, Placebo, anonymous_task
from llmpso.benchmark.metaheuristics import DifferentialEvolution, MetaheuristicSearch, cma_es
from llmpso.benchmark.nonsense import ConstantBackend, RandomBackend, WorstBackend
from llmpso.benchmark.problems import Problem
from llmpso.benchmark.published_pso import PublishedPSO
from llmpso.benchmark.rivals import optuna_search, pyswarms_search, random_search
from llmpso.errors import SpecError
from llmpso.objectives.base import DescribedObjective
from llmpso.search.archive import trial_seed
from llmpso.search.initial import StartAdvisor
from llmpso.search.llm_pso import LLMPSO
from llmpso.search.optimizer import Optimizer
from llmpso.search.pso import PSO
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.space import SearchSpace

RESULTS_VERSION = 6
"""To be raised whenever the library's code changes what any arm does: old results then expire."""

PAPER_TEMPERATURE = 0.7
"""Of the paper's arm, which asks for several different particles."""

DEFAULT_SUFFIX = "+default"
"""Added to an arm's name: the same arm, started from the problem's default."""

ADVISOR_STREAM = 1_000_000
"""Numbers the random stream of a start, which must not be the swarm's own."""


def _cma_es(space: SearchSpace, *, seed: int, **options: Any) -> Optimizer:
    return MetaheuristicSearch(space, cma_es(seed), seed=seed, **options)


def _guided_cma_es(space: SearchSpace, *, seed: int, **options: Any) -> Optimizer:
    return SurrogateAssistedSearch(space, make_population=cma_es(seed), seed=seed, **options)


METHODS: Mapping[str, Callable[..., Optimizer]] = {
    "random": random_search,
    "pso": PSO,
    "published-pso": PublishedPSO,
    "paper": LLMPSO,
    "guided": SurrogateAssistedSearch,
    "optuna": optuna_search,
    "pyswarms": pyswarms_search,
    "de": partial(MetaheuristicSearch, make_population=DifferentialEvolution),
    "guided-de": partial(SurrogateAssistedSearch, make_population=DifferentialEvolution),
    "cma": _cma_es,
    "guided-cma": _guided_cma_es,
}
"""Optimizers by name, each called with the space, a seed, a start and the arm's options."""


class Voice(StrEnum):
    """Who suggests the start in the language model's place."""

    NOBODY = "nobody"
    MODEL = "model"
    ANONYMOUS = "anonymous"
    """The model, shown neither names nor units."""
    PLACEBO = "placebo"
    RANDOM = "nonsense-random"
    CONSTANT = "nonsense-constant"
    WORST = "nonsense-worst"

    @property
    def is_model(self) -> bool:
        """Whether a real model is asked."""
        return self in (Voice.MODEL, Voice.ANONYMOUS)


NONSENSE = (Voice.RANDOM, Voice.CONSTANT, Voice.WORST)
"""Models whose answers are useless."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to search."""

    name: str
    method: str
    """One of `METHODS`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    voice: Voice = Voice.NOBODY
    starts_from_default: bool = False
    max_evaluations: int | None = None
    """Fewer than the budget, for an arm that has no more to try."""

    def key(self, budget: int, identity: Mapping[str, str]) -> str:
        """What two studies of this arm share if one may stand for the other."""
        content: list[Any] = [RESULTS_VERSION, repr(self), budget]
        if self.voice.is_model:
            start = chosen_start(identity.get("model", ""))
            content += [repr(start), PAPER_PROMPT, dict(identity)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Search:
    """An arm at the start of one study."""

    optimizer: Optimizer
    advisor: Advisor | None
    """Keeps the record of what a model was asked; None if none is."""


def _guided(name: str, voice: Voice = Voice.NOBODY) -> Arm:
    return Arm(name, "guided", voice=voice)


def _optuna(sampler: str) -> Arm:
    return Arm(f"optuna-{sampler}", "optuna", {"sampler": sampler})


_PLAIN_ARMS = (
    Arm("random", "random"),
    Arm("pso", "published-pso"),
    Arm("pso-unique", "pso"),
    Arm("paper", "paper", voice=Voice.MODEL),
    _guided("guided"),
    _guided("guided-llm", Voice.MODEL),
    _guided("placebo", Voice.PLACEBO),
    # One blind first position fewer: the surrogate picks the trial that the model would suggest.
    Arm("surrogate", "guided", {"n_particles": 3}),
    _guided("llm-anonymous", Voice.ANONYMOUS),
    *(_guided(str(voice), voice) for voice in NONSENSE),
    Arm("de", "de"),
    Arm("guided-de", "guided-de"),
    Arm("cma", "cma"),
    Arm("guided-cma", "guided-cma"),
    _optuna("tpe"),
    _optuna("gp"),
    _optuna("cma"),
    Arm("pyswarms", "pyswarms"),
)

ARMS: Mapping[str, Arm] = {
    "default-only": Arm("default-only", "random", starts_from_default=True, max_evaluations=1)
} | {
    started.name: started
    for arm in _PLAIN_ARMS
    for started in (
        arm,
        replace(arm, name=f"{arm.name}{DEFAULT_SUFFIX}", starts_from_default=True),
    )
}
"""All arms by name."""


def find_arm(name: str) -> Arm:
    """An arm by its name.

    Raises:
        SpecError: There is none.
    """
    if name not in ARMS:
        raise SpecError(f"arm {name!r} is unknown; it must be one of: {', '.join(ARMS)}")
    return ARMS[name]


def build_search(arm: Arm, problem: Problem, seed: int, backend: Backend | None) -> Search:
    """An arm at the start of one study of a problem.

    Raises:
        SpecError: The arm asks a model and there is none, or its library is not installed.
    """
    objective = problem.objective(seed)
    options = dict(arm.options)
    if arm.starts_from_default:
        options["start"] = [problem.default(seed)]
    advisor = _advisor(arm, objective, seed, backend)
    if arm.method == "paper":
        options["advisor"] = advisor
    elif (start := _start_advisor(arm.voice, seed, advisor)) is not None:
        options["advisor"] = start
    return Search(METHODS[arm.method](objective.space, seed=seed, **options), advisor)


def _advisor(
    arm: Arm, objective: DescribedObjective, seed: int, backend: Backend | None
) -> Advisor | None:
    """The advisor of an arm; only the paper's does not use temperature 0 and a single seed."""
    task = Task(objective.description, objective.metric)
    stream = trial_seed(seed, ADVISOR_STREAM)
    if arm.method == "paper":
        return Advisor(_needed(arm, backend), task, temperature=PAPER_TEMPERATURE, seed=seed)
    match arm.voice:
        case Voice.NOBODY | Voice.PLACEBO:
            return None
        case Voice.RANDOM:
            return Advisor(RandomBackend(stream), task, temperature=0.0)
        case Voice.CONSTANT:
            return Advisor(ConstantBackend(), task, temperature=0.0)
        case Voice.WORST:
            return Advisor(WorstBackend(objective, stream), task, temperature=0.0)
        case Voice.ANONYMOUS:
            task = anonymous_task(objective.space)
    return Advisor(_needed(arm, backend), task, temperature=0.0)


def _start_advisor(voice: Voice, seed: int, advisor: Advisor | None) -> StartAdvisor | None:
    if advisor is None:
        return Placebo(trial_seed(seed, ADVISOR_STREAM)) if voice is Voice.PLACEBO else None
    start = ModelStart(advisor)
    return Anonymous(start) if voice is Voice.ANONYMOUS else start


def _needed(arm: Arm, backend: Backend | None) -> Backend:
    if backend is None:
        raise SpecError(f"arm {arm.name!r} asks a language model; name one with advisor")
    return backend
