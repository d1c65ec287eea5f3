"""How good a start each wording draws from a model: the share of a table that is better."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmpso.advisor import Advisor, Task
from llmpso.advisor.start_prompts import START_PROMPTS, StartChoice
from llmpso.advisor.start_question import ModelStart
from llmpso.backends.base import Backend
from llmpso.benchmark.tables import TableObjective

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


def variants(n_warm_seeds: int) -> Iterator[Variant]:
    """All wordings, cold and, unless no seed is given for that, warm."""
    for prompt in START_PROMPTS.values():
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
        _rank(objective, ModelStart(Advisor(backend, task, seed=seed), variant.choice))
        for seed in variant.seeds
    )


def _rank(objective: TableObjective, advisor: ModelStart) -> float:
    advised = advisor.suggest(objective.space, lambda params: False)
    return UNUSABLE if advised is None else objective.rank(objective.evaluate(advised).value)
