"""An earlier study in the space of a new one: what fits is used, the rest is counted.

Hyperparameters are the same where their names are. Their ranges may differ: a trial with a value
outside the new range, or with a choice that is gone, is left out. A hyperparameter that the
new space lacks is ignored. One that the earlier study lacked takes the middle of its range, and of
unordered choices the first: nobody varied it, so that one value must stand for it. The
middle is the nearest to all others, and a first choice is usually the default. The study then says
nothing about it, and its surrogate little of places far from there.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpso.errors import SpaceError
from llmpso.memory.past_study import PastState, PastStudy, PastTrial, goals_of, goals_table
from llmpso.pareto import trade_offs
from llmpso.space import Categorical, Dimension, Floats, Integer, Params, SearchSpace
from llmpso.space.dimension_checks import is_real
from llmpso.text import plural

LEAST_COMPLETE = 3
"""Complete trials that fit, without which a study ranks too little."""

LEAST_SHARED = 0.5
"""Share of the new hyperparameters that an earlier study must have varied."""


@dataclass(frozen=True, slots=True)
class MappedStudy:
    """An earlier study in the space of a new one; all sequences have an item per trial."""

    study: PastStudy
    trials: tuple[PastTrial, ...]
    params: tuple[Params, ...]
    positions: Floats  # (n_trials, n_dims), unit cube
    values: Floats
    """Shape (n_trials,). Of a pruned trial that which it would likely have come to; inf of a
    failed or infeasible one."""
    is_complete: NDArray[np.bool_]  # (n_trials,)
    note: str = ""
    """What was left out or filled in, in one line; empty if nothing was."""

    def by_trade_off(self, goals: Sequence[str]) -> list["MappedStudy"]:
        """This study once for each trade-off of a new one's goals; once if it has not two of them.

        Args:
            goals: Names of what the new study lowers together.
        """
        theirs = goals_of(self.trials)
        table = goals_table(self.trials, [name for name in goals if name in theirs])
        is_whole = np.asarray(np.isfinite(table).all(axis=1))
        if table.shape[1] < 2 or is_whole.sum() < LEAST_COMPLETE:
            return [self]
        weighed = np.full((1 + table.shape[1], len(table)), math.inf)
        weighed[:, is_whole] = trade_offs(table[is_whole])
        return [replace(self, values=values, is_complete=is_whole) for values in weighed]


def mapped(space: SearchSpace, study: PastStudy) -> MappedStudy | str:
    """A study in the space, or in one line why it is of no use there."""
    study = study.shortened()
    filled = _filled(space, study)
    if isinstance(filled, str):
        return filled
    fitting = [(trial, _fitted(space, trial, filled)) for trial in study.trials]
    usable = [(trial, params) for trial, params in fitting if params is not None]
    n_complete = sum(trial.has_value for trial, _ in usable)
    if n_complete < LEAST_COMPLETE:
        are = "is" if n_complete == 1 else "are"
        return (
            f"{study.name}: {n_complete} of its {plural(len(study.trials), 'trial')} {are} "
            f"complete and inside this space; at least {LEAST_COMPLETE} are needed"
        )
    return _mapped(space, study, usable, _note(len(fitting) - len(usable), filled))


def fits(space: SearchSpace, study: PastStudy) -> bool:
    """Whether `mapped` finds enough in a study; many times as fast, since few trials decide it."""
    study = study.shortened()
    filled = _filled(space, study)
    if isinstance(filled, str):
        return False
    complete = (trial for trial in study.trials if trial.has_value)
    usable = (trial for trial in complete if _fitted(space, trial, filled) is not None)
    return len(list(islice(usable, LEAST_COMPLETE))) == LEAST_COMPLETE


def parsed_value(dimension: Dimension, value: Any) -> Any:
    """A value, or its text, as a dimension has it; what lies between two values is moved to one.

    Raises:
        SpaceError: It is outside the range, no number, no choice, or could be two of them.
    """
    if isinstance(dimension, Categorical):
        return _choice(dimension, value)
    number = _number(value)
    if number is None or not dimension.low <= number <= dimension.high:
        raise SpaceError(f"must be a number from {dimension.low:g} to {dimension.high:g}")
    if isinstance(dimension, Integer):
        index = round((number - dimension.low) / dimension.step)
        return dimension.low + dimension.step * min(index, int(dimension.size) - 1)
    return number if dimension.step is None else dimension.decode(dimension.encode(number))


def _filled(space: SearchSpace, study: PastStudy) -> dict[str, Any] | str:
    """Values for the hyperparameters that a study lacks; in one line why if it lacks too many."""
    tried = {name for trial in study.trials for name in trial.params}
    lacking = [name for name in space if name not in tried]
    if len(lacking) > (1 - LEAST_SHARED) * len(space):
        return f"{study.name}: it did not vary {len(lacking)} of the {len(space)} hyperparameters"
    return {name: _middle(space[name]) for name in lacking}


def _mapped(
    space: SearchSpace, study: PastStudy, usable: Sequence[tuple[PastTrial, Params]], note: str
) -> MappedStudy:
    trials, params = zip(*usable, strict=True)
    return MappedStudy(
        study,
        trials,
        params,
        np.array([space.encode(each) for each in params]),
        _values(trials),
        np.array([trial.has_value for trial in trials]),
        note,
    )


def _values(trials: Sequence[PastTrial]) -> Floats:
    """Values of full trainings; of a pruned trial as far behind the best as it was at its rung."""
    best = min((trial for trial in trials if trial.has_value), key=lambda trial: trial.value)
    return np.array([_value(trial, best) for trial in trials])


def _value(trial: PastTrial, best: PastTrial) -> float:
    if trial.state is PastState.PRUNED and math.isfinite(trial.value):
        behind = trial.value - dict(best.rungs).get(trial.fidelity, best.value)
        return best.value + max(0.0, behind)
    return trial.value if trial.has_value else math.inf


def _fitted(space: SearchSpace, trial: PastTrial, filled: dict[str, Any]) -> dict[str, Any] | None:
    """A trial's configuration in the space; None where it does not fit."""
    given = {name: value for name, value in trial.params.items() if name in space}
    try:
        read = {name: parsed_value(space[name], value) for name, value in given.items()}
        return space.validate(space.without_unused(filled | read)[0])
    except SpaceError:
        return None


def _choice(dimension: Categorical, value: Any) -> Any:
    if not isinstance(value, str):
        return dimension.validate(value)
    alike = [choice for choice in dimension.choices if str(choice) == value]
    if len(alike) != 1:
        raise SpaceError(f"must be one of {list(dimension.choices)!r}")
    return alike[0]


def _number(value: Any) -> float | None:
    if is_real(value):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _middle(dimension: Dimension) -> Any:
    is_unordered = isinstance(dimension, Categorical) and not dimension.ordered
    return dimension.decode(0.0 if is_unordered else 0.5)


def _note(n_left_out: int, filled: Mapping[str, Any]) -> str:
    parts = (
        [f"{plural(n_left_out, 'trial is', 'trials are')} outside this space"]
        if n_left_out
        else []
    )
    parts += [f"{name} was not varied and is taken as {value}" for name, value in filled.items()]
    return "; ".join(parts)
