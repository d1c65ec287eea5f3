"""Differential evolution and CMA-ES, plain and guided."""

from collections.abc import Callable

import numpy as np
import pytest

from llmpso.benchmark.metaheuristics import (
    CMAES,
    CROSSOVER,
    WEIGHT,
    DifferentialEvolution,
    MetaheuristicSearch,
    cma_es,
)
from llmpso.errors import SpecError
from llmpso.search.optimizer import MakeMetaheuristic, Optimizer
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.space import Float, SearchSpace
from llmpso.trial import Evaluation, Failure, FailureKind, Trial

SPACE = SearchSpace({name: Float(-5, 5) for name in "xyz"})


def completed(trial: Trial) -> Trial:
    cost = sum((value - 1.5) ** 2 for value in trial.params.values())
    return trial.completed(Evaluation(cost), 0.0)


def study(optimizer: Optimizer, budget: int = 60) -> list[Trial]:
    trials: list[Trial] = []
    while len(trials) < budget:
        batch = [completed(trial) for trial in optimizer.ask(budget - len(trials))]
        optimizer.tell(batch)
        trials += batch
    return trials


def best(trials: list[Trial]) -> float:
    return min(trial.value for trial in trials if trial.value is not None)


def de(seed: int) -> MakeMetaheuristic:
    return DifferentialEvolution


@pytest.mark.parametrize("make", [de, cma_es])
def test_a_surrogate_comes_closer_with_the_same_budget(
    make: Callable[[int], MakeMetaheuristic],
) -> None:
    plain, assisted = [], []
    for seed in range(4):
        plain.append(best(study(MetaheuristicSearch(SPACE, make(seed), seed=seed))))
        search = SurrogateAssistedSearch(SPACE, make_population=make(seed), seed=seed)
        assisted.append(best(study(search)))
    assert np.mean(assisted) < 0.3 * np.mean(plain)


def test_a_trial_vector_is_the_mixture_of_the_paper() -> None:
    population = DifferentialEvolution(4, len(SPACE), np.random.default_rng(0))
    population.members = np.array([[0.1] * 3, [0.5] * 3, [0.6] * 3, [0.8] * 3])
    drawn = population.draw_steps(0, 500)
    others = {0.5, 0.6, 0.8}
    mutants = {
        round(a + WEIGHT * (b - c), 6)
        for a in others
        for b in others - {a}
        for c in others - {a, b}
    }
    values = {round(float(value), 6) for value in drawn.ravel()}
    assert values == mutants | {0.1}
    # One coordinate is always the mutant's, the two others with the crossover rate.
    expected = (1 + 2 * CROSSOVER) / 3
    assert np.mean(drawn != 0.1) == pytest.approx(expected, abs=0.02)


def test_only_what_is_no_worse_takes_a_members_place() -> None:
    optimizer = MetaheuristicSearch(SPACE, DifferentialEvolution, seed=0)
    population = optimizer.population
    assert isinstance(population, DifferentialEvolution)
    optimizer.tell([completed(trial) for trial in optimizer.ask()])
    members, values = population.members.copy(), population.values.copy()
    trials = [completed(trial) for trial in optimizer.ask()]
    optimizer.tell(trials)
    for trial in trials:
        won = trial.value is not None and trial.value <= values[trial.particle]
        moved = not np.array_equal(population.members[trial.particle], members[trial.particle])
        assert moved == won


def test_a_generation_that_failed_moves_no_best() -> None:
    optimizer = MetaheuristicSearch(SPACE, cma_es(0), seed=0)
    first = [completed(trial) for trial in optimizer.ask()]
    optimizer.tell(first)
    assert isinstance(optimizer.population, CMAES)
    before = optimizer.population.bests(0)
    failure = Failure(FailureKind.EXCEPTION, "boom")
    optimizer.tell([trial.failed(failure, 0.0) for trial in optimizer.ask()])
    assert np.array_equal(optimizer.population.bests(0), before)


def test_differential_evolution_needs_three_others() -> None:
    message = "n_particles is 3; differential evolution needs at least 4"
    with pytest.raises(SpecError, match=message):
        MetaheuristicSearch(SPACE, DifferentialEvolution, n_particles=3)
