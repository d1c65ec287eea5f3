"""The trials of a study as rows of a table: for data frames, terminals, pages and JSON."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmpso.extras import needed_by
from llmpso.study.cost import TrainingCost
from llmpso.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "number",
    "state",
    "source",
    "value",
    "fidelity",
    "cost",
    "seconds",
    "started_at",
    "failure",
    "warnings",
)
"""Those of every study."""


def trial_rows(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """One row per trial, all with the same columns; None where a trial has no value.

    The columns are `number`, `state`, `source`, `value`, one `values.NAME` for each of several
    goals and `params.NAME` for each hyperparameter, `constraints.NAME` and `metrics.NAME` for
    what was measured, `fidelity`, `cost` (in full trainings), `seconds`, `started_at` (since the
    epoch), `failure`, `warnings`.
    """
    cost = TrainingCost(trials)
    params = _names(trial.params for trial in trials)
    limits = _names(trial.constraints for trial in trials)
    goals = _names(trial.values for trial in trials)
    others = _names(trial.metrics for trial in trials)
    metrics = [name for name in others if name not in (*limits, *goals)]
    return [
        {
            "number": trial.number,
            "state": str(trial.state),
            "source": str(trial.source),
            "value": trial.value,
            **{f"values.{name}": trial.values.get(name) for name in goals},
            **{f"params.{name}": trial.params.get(name) for name in params},
            **{f"constraints.{n}": trial.constraints.get(n, (None,))[0] for n in limits},
            **{f"metrics.{name}": trial.metrics.get(name) for name in metrics},
            "fidelity": trial.fidelity,
            "cost": cost.of(trial),
            "seconds": trial.seconds,
            "started_at": trial.started_at,
            "failure": f"{trial.failure.kind}: {trial.failure.message}" if trial.failure else None,
            "warnings": "; ".join(trial.warnings) or None,
        }
        for trial in trials
    ]


def trial_frame(trials: Sequence[Trial]) -> "pd.DataFrame":
    """The rows as a data frame of pandas, its index the number of the trial.

    Raises:
        SpecError: pandas is not installed.
    """
    with needed_by("to_frame", "plots"):
        import pandas as pd
    rows = trial_rows(trials)
    frame = pd.DataFrame(rows, columns=None if rows else COLUMNS).set_index("number", drop=False)
    return frame.assign(started_at=pd.to_datetime(frame["started_at"], unit="s", utc=True))


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))
