"""A study in a storage of Optuna, read and written by Optuna itself, which is imported on use."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

from llmpso.errors import DataError, LLMPSOError
from llmpso.extras import needed_by
from llmpso.goals import MOST_GOALS, Goals
from llmpso.memory.past_study import PastState, PastStudy, PastTrial, goals_of
from llmpso.space import Categorical, Dimension, Float, Integer, SearchSpace
from llmpso.text import one_line
from llmpso.urls import masked_url

FULL = 1_000
"""Step of a full training in what is exported: fidelities are thousandths of it."""

CONSTRAINTS = "constraints"
"""Begins the names of a trial's system attributes that hold its constraints; above 0 is broken."""

METRIC = "metric"
"""Attribute of a study with several goals, whose metric names are theirs: that of its values."""


def read_optuna_study(storage: str, name: str | None = None) -> tuple[PastStudy, SearchSpace]:
    """A study of a storage, and the space of its distributions.

    Values of an objective that is maximised are stored with the opposite sign. Several objectives
    are goals, with the names that the study's metrics have, or else `goal_0`, `goal_1`, ...

    Args:
        storage: Its address, such as `sqlite:///optuna.db`.
        name: Of the study; not needed where there is only one.

    Raises:
        DataError: There is no such storage or study, or it has more than three objectives.
        SpecError: Two of its objectives have the same name, or one has none.
    """
    with _optuna(storage) as optuna:
        _check_file(storage)
        study = optuna.load_study(study_name=_named(optuna, storage, name), storage=storage)
        if len(study.directions) > MOST_GOALS:
            raise DataError(
                f"study {study.study_name!r} has {len(study.directions)} objectives; one, two or "
                "three can be read"
            )
        trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
        return _past(study, trials), _space(trials)


def write_optuna_study(
    storage: str, name: str, metric: str, space: SearchSpace, trials: Sequence[PastTrial]
) -> None:
    """Write trials as a new study of a storage, made if it is not there.

    Raises:
        DataError: It has a study of this name, or cannot be written.
    """
    goals = list(goals_of(trials))
    with _optuna(storage) as optuna:
        distributions = {name: distribution_of(optuna, each) for name, each in space.items()}
        try:
            directions = ["minimize"] * max(1, len(goals))
            study = optuna.create_study(storage=storage, study_name=name, directions=directions)
        except optuna.exceptions.DuplicatedStudyError as error:
            raise DataError(
                f"{masked_url(storage)!r} has a study {name!r} already; name another with "
                "--study-name"
            ) from error
        study.set_metric_names(goals or [metric])
        if goals:
            study.set_user_attr(METRIC, metric)
        study.add_trials([_written(optuna, trial, distributions, goals) for trial in trials])


@contextmanager
def _optuna(storage: str) -> Iterator[Any]:
    """The library, with an error of its storage in one line."""
    with needed_by("a study of Optuna", "optuna"):
        import optuna
        from sqlalchemy.exc import SQLAlchemyError
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield optuna
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, ValueError) as error:
        if isinstance(error, LLMPSOError):
            raise
        reason = one_line(error, 200)
        raise DataError(f"{masked_url(storage)!r} is no usable storage: {reason}") from error
    finally:
        optuna.logging.set_verbosity(level)


def _check_file(storage: str) -> None:
    """Refuse a file that is not there: Optuna would make it."""
    path = Path(storage.removeprefix("sqlite:///").partition("?")[0])
    if storage.startswith("sqlite:///") and not path.is_file():
        raise DataError(f"storage {storage!r}: there is no file {str(path)!r}; check the path")


def _named(optuna: Any, storage: str, name: str | None) -> str:
    known = sorted(optuna.get_all_study_names(storage))
    if name is None and len(known) == 1:
        return str(known[0])
    if name is None or name not in known:
        names = one_line(", ".join(map(repr, known)), 200) or "none"
        asked = "--study-name is missing" if name is None else f"there is no study {name!r}"
        raise DataError(f"{asked}; {masked_url(storage)!r} holds: {names}")
    return name


def _past(study: Any, trials: Sequence[Any]) -> PastStudy:
    signs = [-1.0 if each.name == "MAXIMIZE" else 1.0 for each in study.directions]
    goals = _goals(study)
    last = max((max(trial.intermediate_values, default=0) for trial in trials), default=0)
    names = study.metric_names
    ended = max((trial.datetime_complete for trial in trials), default=None)
    return PastStudy(
        name=study.study_name,
        reference=study.study_name,
        metric=str(study.user_attrs.get(METRIC) or names[0]) if names else "",
        ended=ended and ended.astimezone(UTC),
        trials=tuple(_read(trial, signs, goals, last) for trial in trials),
    )


def _goals(study: Any) -> tuple[str, ...]:
    """The names of several objectives; none if there is one."""
    if len(study.directions) == 1:
        return ()
    names = study.metric_names or [f"goal_{place}" for place in range(len(study.directions))]
    return Goals(tuple(names)).names


def _read(trial: Any, signs: Sequence[float], goals: Sequence[str], last: int) -> PastTrial:
    """A trial; the share of its training is that of its steps."""
    rungs = [(step / last, signs[0] * value) for step, value in _curve(trial) if 0 < step < last]
    state, value, fidelity = _state(trial), math.nan, 1.0
    measured = [sign * each for sign, each in zip(signs, _measured(trial), strict=False)]
    if measured:
        value = measured[0]
    elif state is PastState.PRUNED and rungs:
        fidelity, value = rungs[-1]
    return PastTrial(
        params=dict(trial.params),
        value=value,
        values=dict(zip(goals, measured, strict=False)),
        state=state,
        fidelity=fidelity,
        rungs=tuple(rungs),
    )


def _measured(trial: Any) -> list[float]:
    """What a whole training measured; nothing if a part of it is no number."""
    values = trial.values if trial.state.name == "COMPLETE" else None
    return list(values) if values and all(map(math.isfinite, values)) else []


def _curve(trial: Any) -> list[tuple[int, float]]:
    return sorted((s, v) for s, v in trial.intermediate_values.items() if math.isfinite(v))


def _state(trial: Any) -> PastState:
    if trial.state.name == "PRUNED":
        return PastState.PRUNED
    if any(v > 0 for v in _constraints(trial)):
        return PastState.INFEASIBLE
    return PastState.COMPLETE if _measured(trial) else PastState.FAILED


def _constraints(trial: Any) -> Iterator[float]:
    """Optuna 5 has an attribute for each constraint, earlier versions one list."""
    for key, found in trial.system_attrs.items():
        if key.partition(":")[0] == CONSTRAINTS:
            yield from found if isinstance(found, list | tuple) else [found]


def _space(trials: Sequence[Any]) -> SearchSpace:
    found = {name: d for trial in trials for name, d in trial.distributions.items()}
    if not found:
        raise DataError("the study has no finished trial with hyperparameters")
    return SearchSpace({name: _dimension(distribution) for name, distribution in found.items()})


def _dimension(distribution: Any) -> Dimension:
    kind = type(distribution).__name__
    if kind == "CategoricalDistribution":
        return Categorical(tuple(distribution.choices))
    bounds = {"low": distribution.low, "high": distribution.high, "log": distribution.log}
    if kind == "IntDistribution":
        return Integer(**bounds, step=distribution.step)
    return Float(**bounds, step=distribution.step)


def distribution_of(optuna: Any, dimension: Dimension) -> Any:
    """The distribution of a dimension; Optuna has no logarithmic one with steps."""
    kinds = optuna.distributions
    if isinstance(dimension, Categorical):
        return kinds.CategoricalDistribution(tuple(map(_choice, dimension.choices)))
    bounds: dict[str, Any] = {"low": dimension.low, "high": dimension.high, "log": dimension.log}
    if isinstance(dimension, Integer):
        has_both = dimension.log and dimension.step != 1
        return kinds.IntDistribution(
            **bounds | ({"log": False} if has_both else {}), step=dimension.step
        )
    step = None if dimension.log else dimension.step
    return kinds.FloatDistribution(**bounds, step=step)


def _choice(choice: Any) -> Any:
    """A choice as every storage of Optuna's has it; a list is text there."""
    return str(choice) if isinstance(choice, tuple) else choice


def _written(
    optuna: Any, trial: PastTrial, distributions: Mapping[str, Any], goals: Sequence[str]
) -> Any:
    states = optuna.trial.TrialState
    has_value = bool(trial.values) if goals else math.isfinite(trial.value)
    is_full = has_value and trial.state in (PastState.COMPLETE, PastState.INFEASIBLE)
    state = states.PRUNED if trial.state is PastState.PRUNED else states.FAIL
    curve = {max(1, round(FULL * share)): value for share, value in trial.rungs}
    if is_full:
        state, curve = states.COMPLETE, curve | {FULL: trial.value}
    elif has_value:
        curve |= {max(1, round(FULL * trial.fidelity)): trial.value}
    broken = {CONSTRAINTS: [1.0]} if trial.state is PastState.INFEASIBLE else {}
    params = {name: _choice(trial.params[name]) for name in distributions if name in trial.params}
    return optuna.trial.create_trial(
        state=state,
        values=[trial.values[n] for n in goals] or [trial.value] if is_full else None,
        params=params,
        distributions={name: distributions[name] for name in params},
        # Optuna has none with several objectives.
        intermediate_values={} if goals else curve,
        system_attrs=broken,
    )
