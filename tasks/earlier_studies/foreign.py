"""Studies of other tools, recorded in MLflow as earlier ones."""

import pandas as pd

from llmpso.goals import Goals
from llmpso.memory.finished import trials_of
from llmpso.memory.past_study import PastStudy, goals_of
from llmpso.space import SearchSpace
from llmpso.study.result import best_of
from tasks.records.find_study import store_answers
from tasks.records.past_studies import record_past_study
from tasks.store.experiment import SPACE_PREFIX, Experiment
from tasks.store.names import keys
from tasks.store.tracker import Tracker

TABLE = "trials.json"
"""The trials of a study that was read from elsewhere, where MLflow shows them as a table."""


def store_study(
    place: Experiment, past: PastStudy, space: SearchSpace, tags: dict[str, str]
) -> Tracker:
    """Record a study of another tool as one run that has ended.

    Raises:
        StorageError: MLflow does not answer, or refuses.
    """
    params = {f"{SPACE_PREFIX}{key}": repr(space[name]) for name, key in keys(space).items()}
    with store_answers(place.tracking_uri), place.run(past.name, params, tags) as study:
        record_past_study(study, past)
        study.record_table(TABLE, _table(past))
        best = best_of(trials_of(past.trials), goals=Goals(goals_of(past.trials)))
        if best is not None and best.value is not None:
            study.record_summary({"best_value": best.value}, f"Read from {tags['imported']}", {})
    return study


def _table(past: PastStudy) -> pd.DataFrame:
    rows = [
        {"value": trial.value, "state": str(trial.state), "fidelity": trial.fidelity}
        | {f"values.{name}": trial.values.get(name) for name in goals_of(past.trials)}
        | {f"params.{name}": str(value) for name, value in trial.params.items()}
        for trial in past.trials
    ]
    return pd.DataFrame(rows)
