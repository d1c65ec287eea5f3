"""Whether an average of a study's best models is better than the best, decided on other data.

Half of the validation data selects the members and their weights; the other half decides. The
best single model was chosen by both halves, so it is the one that is favoured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from llmpso.ensembles.greedy import greedy_weights
from llmpso.ensembles.outcome import EnsembleOutcome, Losses, Member
from llmpso.ensembles.validated import Validated
from llmpso.errors import DataError, SpecError
from llmpso.objectives.averaged import average
from llmpso.objectives.base import SupportsEnsemble, SupportsHoldOut
from llmpso.objectives.held_out import HeldOut
from llmpso.space import Floats
from llmpso.text import short
from llmpso.trial import Trial
from llmpso.user_code.calls import run_user_code


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What was decided."""

    outcome: EnsembleOutcome
    model: Any = None
    """The average; None if it does not take the place of the best single model."""
    value: float = float("nan")
    """Its loss on all of the validation data."""


def choose_ensemble(
    objective: SupportsEnsemble, trials: Sequence[Trial], models: Sequence[Any], most: int
) -> Choice:
    """Average some of a study's models, if that is better than the best one.

    Args:
        objective: Whose models they are.
        trials: In full, the one whose model would be registered first.
        models: Of each trial.
        most: Members of the ensemble.

    Raises:
        LLMPSOError: The models cannot be averaged, or what the objective says of them is unusable.
    """
    if len(trials) < 2:
        return _refused(f"{len(trials)} full training has a stored model, and two are needed")
    found = validated_by(objective, models)
    predictions = np.stack([each.predictions for each in found])
    selects, _ = found[0].halves()
    weights = greedy_weights(predictions[:, selects], found[0].loss(selects), most)
    members = _members(trials, weights)
    if len(members) == 1:
        return _refused(f"no average of models selected is better than that of {_named(members)}")
    chosen = np.flatnonzero(weights).tolist()
    model = average([models[at] for at in chosen], weights[chosen].tolist())
    return _decided(objective, members, model, models[0])


def validated_by(objective: SupportsEnsemble, models: Sequence[Any]) -> list[Validated]:
    """What each model predicts of the same validation data.

    Raises:
        LLMPSOError: That is unusable, or the data of one is not that of another.
    """
    found = [Validated.of(run_user_code(partial(objective.validated, model))) for model in models]
    if any(not np.array_equal(each.targets, found[0].targets) for each in found):
        raise DataError("validated(model) returned other targets for one model than for another")
    return found


def loss_of(objective: SupportsEnsemble, model: Any) -> float:
    """The loss of a model on all of the validation data.

    Raises:
        LLMPSOError: What the objective says of the model is unusable.
    """
    (found,) = validated_by(objective, [model])
    return found.total


def ensembled(objective: object) -> SupportsEnsemble:
    """An objective whose models can be averaged.

    Raises:
        SpecError: They cannot.
    """
    if not isinstance(objective, SupportsEnsemble):
        raise SpecError(
            f"objective {type(objective).__name__} has no validated(model), which an ensemble "
            "needs: it returns predictions of the validation data, and the truth"
        )
    return objective


def _decided(
    objective: SupportsEnsemble, members: tuple[Member, ...], model: Any, single: Any
) -> Choice:
    """Compare the average, as it would serve, with the best single model."""
    own, best = validated_by(objective, [model, single])
    selects, decides = own.halves()
    selection, held_out = (
        Losses(*(own.loss(rows)(each.predictions[rows])[0] for each in (own, best)))
        for rows in (selects, decides)
    )
    accepted = held_out.ensemble < held_out.single
    outcome = EnsembleOutcome(
        accepted,
        f"the average of {_named(members)} has the {'lower' if accepted else 'higher or same'} "
        f"loss on held-out validation data: {short(held_out.ensemble)}, of the best single model "
        f"{short(held_out.single)}",
        members,
        selection,
        held_out,
        _test_losses(objective, model, single),
    )
    return Choice(outcome, model if accepted else None, own.total)


def _members(trials: Sequence[Trial], weights: Floats) -> tuple[Member, ...]:
    pairs = zip(trials, weights.tolist(), strict=True)
    found = [Member(dict(t.params), weight, t.number) for t, weight in pairs if weight > 0]
    return tuple(sorted(found, key=lambda member: -member.weight))


def _test_losses(objective: object, model: Any, single: Any) -> Losses | None:
    if not isinstance(objective, SupportsHoldOut):
        return None
    held_out = objective.held_out
    return Losses(
        *(HeldOut.of(run_user_code(partial(held_out, each))).error for each in (model, single))
    )


def _named(members: Sequence[Member]) -> str:
    return f"trial{'s' * (len(members) > 1)} {', '.join(str(m.number) for m in members)}"


def _refused(reason: str) -> Choice:
    return Choice(EnsembleOutcome(False, reason))
