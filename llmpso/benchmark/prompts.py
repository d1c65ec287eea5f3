"""How good a start each wording draws from a model: the share of a table that is better.

Wordings for studies with earlier ones are scored with the other tables' studies as memory. The
memory's own second start, which takes the same place in a study, is scored beside them.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmpso.advisor import Advisor, Task
from llmpso.advisor.start_prompts import MEMORY_PROMPTS, START_PROMPTS, StartChoice
from llmpso.advisor.start_question import ModelStart
from llmpso.backends.base import Backend
from llmpso.benchmark.memory_arms import MemoryProblem, earlier_studies
from llmpso.benchmark.tables import TableObjective
from llmpso.memory.memory import StudyMemory
from llmpso.space import Params

COLD, WARM = 0.0, 0.7
"""Temperatures tried; a cold model always says the same, a warm one is asked with more seeds."""

UNUSABLE = 1.0
"""Rank of an answer that holds no configuration: nothing of the table is worse."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One wording at one temperature, asked with some seeds."""

    choice: StartChoice
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        """For people and files."""
        return f"{self.choice.prompt.name}, temperature {self.choice.temperature:g}"


@dataclass(frozen=True, slots=True)
class Score:
    """What a variant is worth."""

    variant: Variant
    ranks: dict[str, float]
    """By table, the mean share of configurations that are strictly better; lower is better."""

    @property
    def mean(self) -> float:
        """Over all tables."""
        return statistics.fmean(self.ranks.values())


def variants(n_warm_seeds: int, *, memory: bool = False) -> Iterator[Variant]:
    """All wordings, cold and, unless no seed is given for that, warm.

    Args:
        n_warm_seeds: Seeds of the warm ones.
        memory: Whether the studies have earlier ones.
    """
    for prompt in (MEMORY_PROMPTS if memory else START_PROMPTS).values():
        yield Variant(StartChoice(prompt, COLD), (0,))
        if n_warm_seeds:
            yield Variant(StartChoice(prompt, WARM), tuple(range(n_warm_seeds)))


def score(variant: Variant, tables: Sequence[str], backend: Backend) -> Score:
    """Ask a model for a start on each table, and look up what it is worth."""
    return Score(variant, {name: _mean_rank(variant, name, backend) for name in tables})


def best(scores: Sequence[Score]) -> Score:
    """The lowest mean rank; the earliest of equals."""
    return min(scores, key=lambda one: one.mean)


def _mean_rank(variant: Variant, table: str, backend: Backend) -> float:
    objective = TableObjective(table)
    task = Task(objective.description, objective.metric)
    return statistics.fmean(
        _rank(objective, Advisor(backend, task, seed=seed), variant.choice)
        for seed in variant.seeds
    )


def _rank(objective: TableObjective, advisor: Advisor, choice: StartChoice) -> float:
    if choice.prompt.name not in MEMORY_PROMPTS:
        return _rank_of(objective, ModelStart(advisor, choice).suggest(objective.space, _is_new))
    memory, first = _memory(objective)
    model = ModelStart(advisor, choice, earlier=memory)
    return _rank_of(objective, model.suggest(objective.space, first.__eq__))


def memory_rank(table: str) -> float:
    """The rank of the memory's second start, whose place the model's takes."""
    objective = TableObjective(table)
    memory, first = _memory(objective)
    return _rank_of(objective, memory.start(first.__eq__))


def _memory(objective: TableObjective) -> tuple[StudyMemory, Params]:
    """What the other tables teach, and the first start, which a study has taken already."""
    memory = StudyMemory(objective.space, earlier_studies(MemoryProblem(objective.name), 0))
    first = memory.start(_is_new)
    assert first is not None
    return memory, first


def _is_new(params: Params) -> bool:
    return False


def _rank_of(objective: TableObjective, start: Params | None) -> float:
    return UNUSABLE if start is None else objective.rank(objective.evaluate(start).value)
