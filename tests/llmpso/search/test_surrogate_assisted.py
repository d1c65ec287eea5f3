from copy import deepcopy

import numpy as np
import pytest

from llmpso.errors import SpecError
from llmpso.memory.memory import StudyMemory
from llmpso.memory.past_study import PastStudy, PastTrial
from llmpso.search.candidates import PoolSize
from llmpso.search.initial import IsKnown
from llmpso.search.optimizer import Optimizer
from llmpso.search.pso import PSO
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.space import Float, Params, SearchSpace
from llmpso.study.minimize import minimize
from llmpso.trial import Evaluation, Failure, FailureKind, Source, Trial

SPACE = SearchSpace({"x": Float(-5, 5), "y": Float(-5, 5), "z": Float(-5, 5)})


def cost(params: Params) -> float:
    return sum((value - 1.5) ** 2 for value in params.values())


def study(optimizer: Optimizer, budget: int = 40) -> list[Trial]:
    trials: list[Trial] = []
    while len(trials) < budget:
        batch = [t.completed(Evaluation(cost(t.params)), 0) for t in optimizer.ask()]
        optimizer.tell(batch)
        trials += batch
    return trials[:budget]


def best(trials: list[Trial]) -> float:
    return min(trial.value for trial in trials if trial.value is not None)


class Oracle:
    """Suggests one configuration."""

    source = Source.DEFAULT

    def __init__(self, answer: Params | None) -> None:
        self.answer = answer

    def suggest(self, space: SearchSpace, is_known: IsKnown) -> Params | None:
        return self.answer


def test_it_needs_fewer_evaluations_than_pso() -> None:
    guided = np.mean([best(study(SurrogateAssistedSearch(SPACE, seed=seed))) for seed in range(4)])
    plain = np.mean([best(study(PSO(SPACE, seed=seed))) for seed in range(4)])
    assert guided < 0.3 * plain


def test_a_batch_moves_as_many_particles_each_in_turn() -> None:
    optimizer = SurrogateAssistedSearch(SPACE, batch_size=2, n_particles=5, seed=0)
    trials = study(optimizer, 15)
    assert [t.particle for t in trials] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert {t.iteration for t in trials[5:7]} == {1}


def test_a_batch_that_the_end_cuts_short_begins_as_the_whole_one() -> None:
    """A study that is extended asks for all of it, and has to find what it measured before."""
    constrained = SearchSpace(
        {"x": Float(-5, 5), "y": Float(-5, 5)}, constraints=["x * y <= 1", "x + y <= 2"]
    )
    optimizer = SurrogateAssistedSearch(constrained, batch_size=4, n_particles=4, seed=1)
    for _ in range(6):
        cut = deepcopy(optimizer).ask(2)
        whole = optimizer.ask()
        assert cut == whole[:2]
        failed = Failure(FailureKind.EXCEPTION, "broken")
        optimizer.tell([trial.failed(failed, 0) for trial in whole])


def test_the_velocity_is_the_step_taken_within_the_limit() -> None:
    optimizer = SurrogateAssistedSearch(SPACE, seed=0)
    study(optimizer, 6)
    before = optimizer.population.swarm
    (trial,) = optimizer.ask()
    step = SPACE.encode(trial.params) - before.positions[trial.particle]
    velocity = optimizer.population.swarm.velocities[trial.particle]
    assert velocity == pytest.approx(step.clip(-0.5, 0.5))


def test_the_advisors_start_takes_a_first_position() -> None:
    advisor = Oracle({"x": 1.0, "y": 1.0, "z": 1.0})
    first = SurrogateAssistedSearch(SPACE, advisor=advisor, seed=0).ask()[0]
    assert (first.source, first.params["x"]) == (Source.DEFAULT, 1.0)


def test_without_a_usable_start_the_search_is_the_one_without_an_advisor() -> None:
    alone = study(SurrogateAssistedSearch(SPACE, seed=0))
    assert study(SurrogateAssistedSearch(SPACE, advisor=Oracle(None), seed=0)) == alone


def test_a_useless_start_costs_next_to_nothing() -> None:
    useless = Oracle({"x": -4.5, "y": -4.5, "z": -4.5})
    alone = [best(study(SurrogateAssistedSearch(SPACE, seed=seed))) for seed in range(4)]
    beside = [
        best(study(SurrogateAssistedSearch(SPACE, advisor=useless, seed=seed)))
        for seed in range(4)
    ]
    assert np.mean(beside) < 3 * np.mean(alone) + 0.05


def grid(optimum: float) -> list[tuple[Params, float]]:
    rng = np.random.default_rng(0)
    drawn = [SPACE.decode(rng.random(3)) for _ in range(40)]
    return [(p, sum((v - optimum) ** 2 for v in p.values())) for p in drawn]


def test_a_true_memory_helps_and_a_wrong_one_hurts_little() -> None:
    def reached(known: list[tuple[Params, float]], budget: int) -> float:
        trials = tuple(PastTrial(params=params, value=value) for params, value in known)
        past = PastStudy(name="earlier", reference="run", trials=trials)
        runs = [
            study(
                SurrogateAssistedSearch(
                    SPACE, memory=StudyMemory(SPACE, [past]) if known else None, seed=s
                ),
                budget,
            )
            for s in range(4)
        ]
        return float(np.median([best(trials) for trials in runs]))

    assert reached(grid(1.5), 8) < reached([], 8)
    assert reached(grid(-4.0), 40) < 0.2


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: SurrogateAssistedSearch(SPACE, batch_size=0), SpecError, "batch_size is 0"),
        (lambda: PoolSize(n_steps=0), SpecError, "n_steps is 0; it must be at least 1"),
        (lambda: PoolSize(n_anywhere=-1), SpecError, "n_anywhere is -1"),
    ],
)
def test_wrong_options_are_refused(build, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


def test_minimize_by_name() -> None:
    result = minimize(cost, SPACE, evaluations=20, method="guided", seed=1)
    assert {trial.source for trial in result.trials} <= {
        Source.INITIAL,
        Source.SWARM,
        Source.SURROGATE,
    }
    assert Source.SURROGATE in {trial.source for trial in result.trials}
