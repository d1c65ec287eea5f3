"""Differential evolution and CMA-ES, plain and guided."""

from collections.abc import Callable

import numpy as np
import pytest

from llmpso.errors import SpecError
from llmpso.search.cma_es import CMAES
from llmpso.search.evolution import CROSSOVER, WEIGHT, DifferentialEvolution
from llmpso.search.guided import GuidedCMAES, GuidedDE
from llmpso.search.population import Population
from llmpso.space import Float, SearchSpace
from llmpso.trial import Evaluation, Failure, FailureKind, Trial

SPACE = SearchSpace({name: Float(-5, 5) for name in "xyz"})


def told(trial: Trial) -> Trial:
    cost = sum((value - 1.5) ** 2 for value in trial.params.values())
    return trial.completed(Evaluation(cost), 0.0)


def study(optimizer: Population, budget: int = 60) -> list[Trial]:
    trials: list[Trial] = []
    while len(trials) < budget:
        batch = [told(trial) for trial in optimizer.ask(budget - len(trials))]
        optimizer.tell(batch)
        trials += batch
    return trials


def best(trials: list[Trial]) -> float:
    return min(trial.value for trial in trials if trial.value is not None)


@pytest.mark.parametrize(
    ("plain", "guided"), [(DifferentialEvolution, GuidedDE), (CMAES, GuidedCMAES)]
)
def test_without_guidance_it_is_exactly_the_metaheuristic(
    plain: Callable[..., Population], guided: Callable[..., Population]
) -> None:
    for seed in range(3):
        off = guided(SPACE, guidance=None, n_particles=6, seed=seed)
        assert study(off) == study(plain(SPACE, n_particles=6, seed=seed))


@pytest.mark.parametrize(
    ("plain", "guided"), [(DifferentialEvolution, GuidedDE), (CMAES, GuidedCMAES)]
)
def test_guidance_comes_closer_with_the_same_budget(
    plain: Callable[..., Population], guided: Callable[..., Population]
) -> None:
    alone = np.mean([best(study(plain(SPACE, seed=seed))) for seed in range(4)])
    helped = np.mean([best(study(guided(SPACE, seed=seed))) for seed in range(4)])
    assert helped < 0.3 * alone


def test_a_trial_vector_is_the_mixture_of_the_paper() -> None:
    optimizer = DifferentialEvolution(SPACE, n_particles=4, seed=0)
    optimizer.members = np.array([[0.1] * 3, [0.5] * 3, [0.6] * 3, [0.8] * 3])
    drawn = optimizer._moves(0, 500)
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
    optimizer = DifferentialEvolution(SPACE, seed=0)
    optimizer.tell([told(trial) for trial in optimizer.ask()])
    members, values = optimizer.members.copy(), optimizer.values.copy()
    trials = [told(trial) for trial in optimizer.ask()]
    optimizer.tell(trials)
    for trial in trials:
        won = trial.value is not None and trial.value <= values[trial.particle]
        moved = not np.array_equal(optimizer.members[trial.particle], members[trial.particle])
        assert moved == won


def test_a_generation_that_failed_moves_no_best() -> None:
    optimizer = CMAES(SPACE, seed=0)
    first = [told(trial) for trial in optimizer.ask()]
    optimizer.tell(first)
    before = optimizer._bests(0)
    failure = Failure(FailureKind.EXCEPTION, "boom")
    optimizer.tell([trial.failed(failure, 0.0) for trial in optimizer.ask()])
    assert np.array_equal(optimizer._bests(0), before)


def test_differential_evolution_needs_three_others() -> None:
    message = "n_particles is 3; differential evolution needs at least 4"
    with pytest.raises(SpecError, match=message):
        DifferentialEvolution(SPACE, n_particles=3)
