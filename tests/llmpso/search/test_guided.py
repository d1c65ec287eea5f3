import math
from collections import Counter

import numpy as np
import pytest

from llmpso.errors import SpaceError, SpecError
from llmpso.search.credit import Credit, Record
from llmpso.search.guidance import Guidance
from llmpso.search.guided import GuidedPSO
from llmpso.search.history import History
from llmpso.search.likely import belief
from llmpso.search.proposers import IsKnown, Placebo, Progress
from llmpso.search.pso import PSO
from llmpso.space import Float, Params, SearchSpace
from llmpso.study import minimize
from llmpso.trial import Evaluation, Source, Trial

SPACE = SearchSpace({"x": Float(-5, 5), "y": Float(-5, 5), "z": Float(-5, 5)})


def cost(params: Params) -> float:
    return sum((value - 1.5) ** 2 for value in params.values())


def study(optimizer: PSO, budget: int = 40) -> list[Trial]:
    trials: list[Trial] = []
    while len(trials) < budget:
        batch = [t.completed(Evaluation(cost(t.params)), 0) for t in optimizer.ask()]
        optimizer.tell(batch)
        trials += batch
    return trials[:budget]


def best(trials: list[Trial]) -> float:
    return min(trial.value for trial in trials if trial.value is not None)


class Oracle:
    """Proposes what a function says, and counts how often it is asked."""

    sources = (Source.DEFAULT, Source.REFINE)

    def __init__(self, answer: Params) -> None:
        self.answer = answer
        self.asked = 0

    def defaults(self, space: SearchSpace, n: int, is_known: IsKnown) -> list[Params]:
        return [self.answer]

    def refinements(
        self, space: SearchSpace, progress: Progress, n: int, is_known: IsKnown
    ) -> list[Params]:
        self.asked += 1
        shifted = {name: value + 0.01 * self.asked for name, value in self.answer.items()}
        return [shifted] * n


def test_without_guidance_it_is_exactly_pso() -> None:
    for seed in range(3):
        assert study(GuidedPSO(SPACE, guidance=None, n_particles=6, seed=seed)) == study(
            PSO(SPACE, seed=seed)
        )


def test_it_needs_fewer_evaluations_than_pso() -> None:
    guided = np.mean([best(study(GuidedPSO(SPACE, seed=seed))) for seed in range(4)])
    plain = np.mean([best(study(PSO(SPACE, seed=seed))) for seed in range(4)])
    assert guided < 0.3 * plain


def test_a_batch_moves_as_many_particles_each_in_turn() -> None:
    optimizer = GuidedPSO(SPACE, guidance=Guidance(batch_size=2), n_particles=5, seed=0)
    trials = study(optimizer, 15)
    assert [t.particle for t in trials] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert {t.iteration for t in trials[5:7]} == {1}


def test_the_velocity_is_the_step_taken_within_the_limit() -> None:
    optimizer = GuidedPSO(SPACE, seed=0)
    study(optimizer, 6)
    before = optimizer.swarm
    (trial,) = optimizer.ask()
    step = SPACE.encode(trial.params) - before.positions[trial.particle]
    velocity = optimizer.swarm.velocities[trial.particle]
    assert velocity == pytest.approx(step.clip(-0.5, 0.5))


def test_the_proposer_fills_a_first_position() -> None:
    optimizer = GuidedPSO(SPACE, proposer=Oracle({"x": 1.0, "y": 1.0, "z": 1.0}), seed=0)
    first = optimizer.ask()[0]
    assert (first.source, first.params["x"]) == (Source.DEFAULT, 1.0)


def test_bad_advice_loses_its_slots_after_a_few_calls() -> None:
    useless = Oracle({"x": -4.5, "y": -4.5, "z": -4.5})
    guidance = Guidance(n_refinements=2)
    optimizer = GuidedPSO(SPACE, proposer=useless, guidance=guidance, seed=0)
    trials = study(optimizer, 60)
    assert useless.asked <= 3
    assert sum(trial.source is Source.REFINE for trial in trials) <= 1
    assert not optimizer.credit.is_heard(Source.REFINE)


def test_a_placebo_costs_next_to_nothing() -> None:
    alone = [best(study(GuidedPSO(SPACE, seed=seed))) for seed in range(4)]
    asking = Guidance(n_refinements=2)
    beside = [
        best(study(GuidedPSO(SPACE, proposer=Placebo(seed), guidance=asking, seed=seed)))
        for seed in range(4)
    ]
    assert np.mean(beside) < 3 * np.mean(alone) + 0.05


def test_credit_rises_with_wins_and_falls_with_rejections() -> None:
    credit = Credit()
    assert credit.trust(Source.REFINE) == 0.5
    credit.proposed(Source.REFINE, admitted=True)
    credit.judged(Source.REFINE, won=True)
    assert credit.trust(Source.REFINE) > 0.5
    for _ in range(6):
        credit.proposed(Source.REFINE, admitted=False)
    assert not credit.is_heard(Source.REFINE)
    assert credit.records[Source.REFINE] == Record(proposed=7, admitted=1, won=1)


def test_the_gate_opens_with_trust() -> None:
    credit = Credit()
    assert credit.admits(Source.REFINE, promised=0.6, rival=1.0)
    assert not credit.admits(Source.REFINE, promised=0.4, rival=1.0)


def grid(optimum: float) -> list[tuple[Params, float]]:
    rng = np.random.default_rng(0)
    drawn = [SPACE.decode(rng.random(3)) for _ in range(40)]
    return [(p, sum((v - optimum) ** 2 for v in p.values())) for p in drawn]


def test_a_true_history_helps_and_a_wrong_one_hurts_little() -> None:
    def reached(history: list[tuple[Params, float]], budget: int) -> float:
        runs = [study(GuidedPSO(SPACE, history=history, seed=s), budget) for s in range(4)]
        return float(np.median([best(trials) for trials in runs]))

    assert reached(grid(1.5), 8) < reached([], 8)
    assert reached(grid(-4.0), 40) < 0.2


def test_a_history_is_believed_as_far_as_it_proves_true() -> None:
    rng = np.random.default_rng(1)
    positions = rng.random((12, 3))
    values = np.array([cost(SPACE.decode(position)) for position in positions])
    history = History(SPACE, grid(1.5))
    assert belief(history, positions[:0], values[:0]) == 1
    assert belief(history, positions, values) > 0.8
    assert belief(history, positions, -values) == 0


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Guidance(batch_size=0), SpecError, "batch_size is 0"),
        (lambda: Guidance(n_defaults=-1), SpecError, "n_defaults is -1"),
        (lambda: History(SPACE, grid(0)[:2]), SpecError, "history holds 2 finite values"),
        (lambda: History(SPACE, [({"x": 1}, math.nan)]), SpaceError, r"history\[0\]"),
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


def test_the_record_of_every_source_is_on_the_study() -> None:
    result = minimize(cost, SPACE, evaluations=20, method="guided", seed=1)
    admitted = {source: record.admitted for source, record in result.credit.items()}
    evaluated = Counter(trial.source for trial in result.trials)
    assert admitted == evaluated
    assert 0 < result.credit[Source.INITIAL].won < result.credit[Source.INITIAL].admitted


def test_a_displaced_pick_is_noted_on_the_trial() -> None:
    good = Oracle({"x": 1.4, "y": 1.4, "z": 1.4})
    guidance = Guidance(n_defaults=0, n_refinements=1)
    trials = study(GuidedPSO(SPACE, proposer=good, guidance=guidance, seed=0), 20)
    refined = [trial for trial in trials if trial.source is Source.REFINE]
    assert refined
    for trial in refined:
        assert "in place of the surrogate's pick {" in trial.note
