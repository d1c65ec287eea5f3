"""What trainings cost: those that end by themselves, those that pause, those that fail."""

from dataclasses import replace

import pytest

from llmpso.study.cost import TrainingCost
from llmpso.trial import Evaluation, Source, Trial, TrialState

TRIAL = Trial(number=0, params={}, source=Source.SWARM, iteration=0, particle=0, seed=0)


def at(fidelity: float, state: TrialState) -> Trial:
    return replace(TRIAL, fidelity=fidelity, state=state)


def test_full_trainings_cost_one_each() -> None:
    done = TRIAL.completed(Evaluation(1.0), 0.0)
    assert TrainingCost([done] * 7).total == 7


def test_a_training_that_ended_by_itself_is_a_whole_one() -> None:
    assert TrainingCost([at(0.25, TrialState.COMPLETE)]).total == 1


def test_a_short_one_costs_its_share_of_those_that_are_complete() -> None:
    pruned = [at(0.25, TrialState.PRUNED)] * 4
    assert TrainingCost(pruned).total == 1
    complete = [at(1.0, TrialState.COMPLETE), at(0.5, TrialState.COMPLETE)]
    assert TrainingCost([*pruned, *complete]).total == pytest.approx(2 + 4 * 0.25 / 0.75)
    assert TrainingCost([*complete[1:], at(1.0, TrialState.FAILED)]).total == 2


def test_a_training_that_goes_on_takes_the_place_of_what_it_was() -> None:
    cost = TrainingCost([at(0.25, TrialState.PENDING)])
    later = cost.copy()
    later.add(at(0.5, TrialState.PENDING), at(0.25, TrialState.PENDING))
    assert (cost.total, later.total) == (0.25, 0.5)
