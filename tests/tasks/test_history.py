"""What a retuning reads of earlier studies: all of their trials, each as what it was."""

import json
import math
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from llmpso.errors import RegistryError
from llmpso.retuning.earlier_studies import MOST_TRIALS, pooled_history
from llmpso.running.pending_records import PendingRecord, trial_record
from llmpso.space import Float, SearchSpace
from llmpso.trial import Evaluation, Failure, FailureKind, Source, Trial, TrialState
from tasks.earlier_studies import MODEL_TAG, known_trials
from tasks.experiment import Experiment
from tasks.registry import Registry
from tasks.store import paged
from tasks.tracker import Tracker
from tasks.trial_runs import ADDRESS_TAG, OUTCOME_TAG, record_trial, recorded_trials

SPACE = SearchSpace({"x": Float(0.0, 10_000.0)})
LOST = Failure(FailureKind.LOST_WORKER, "killed")
BROKEN = Failure(FailureKind.EXCEPTION, "there is a hole")


@pytest.fixture
def study(mlflow_store: str) -> Tracker:
    """A study of the model `m`, without trials."""
    experiment = MlflowClient(mlflow_store).create_experiment("history")
    return Experiment(mlflow_store, experiment).start("study", {}, {MODEL_TAG: "m"})


def trial(number: int, **outcome) -> Trial:
    reported = {"state": TrialState.COMPLETE, "value": float(number)} | outcome
    params = {"x": reported.pop("x", float(number))}
    return Trial(number, params, Source.SWARM, number, 0, seed=number, **reported)


def add(study: Tracker, reported: Trial, tmp_path: Path) -> None:
    record_trial(
        study,
        PendingRecord(f"address {reported.number} {reported.state}", reported, {}, (), tmp_path),
    )


def add_many(study: Tracker, trials: list[Trial]) -> None:
    """The records of many trials, written into the database itself."""
    rows, tags, params = [], [], []
    for reported in trials:
        run_id = f"{reported.number:032x}"
        start = 1_700_000_000_000 + reported.number
        rows.append((run_id, "", "FINISHED", start, start, "active", "", study.experiment_id))
        outcome = json.dumps(trial_record(reported))
        named = {MLFLOW_PARENT_RUN_ID: study.run_id, ADDRESS_TAG: run_id}
        tags += [(*tag, run_id) for tag in (named | {f"{OUTCOME_TAG}.0": outcome}).items()]
        params += [(name, str(value), run_id) for name, value in reported.params.items()]
    with sqlite3.connect(study.tracking_uri.removeprefix("sqlite:///")) as database:
        columns = "run_uuid, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri"
        database.executemany(
            f"INSERT INTO runs ({columns}, experiment_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows
        )
        database.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags)
        database.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", params)


def earlier(study: Tracker) -> list[tuple[float, float]]:
    """What is known of the study, as x and value."""
    ((*known,),) = known_trials(Experiment(study.tracking_uri, study.experiment_id), "m", SPACE)
    return [(params["x"], value) for params, value in known]


def test_a_study_of_many_runs_is_read_to_its_end(study: Tracker) -> None:
    n_trials = 2_001
    add_many(study, [trial(number) for number in range(n_trials)])
    study.close("FINISHED")
    assert len(recorded_trials(study)) == n_trials
    assert sorted(earlier(study)) == [(float(n), float(n)) for n in range(n_trials)]
    history = pooled_history(
        known_trials(Experiment(study.tracking_uri, study.experiment_id), "m", SPACE)
    )
    assert len(history) == MOST_TRIALS
    # The oldest trials, here the best, are the last that a store gives.
    places = {params["x"] for params, _ in history}
    assert places >= {float(n) for n in range(MOST_TRIALS // 2)}
    assert max(places) == n_trials - 1


def test_every_trial_is_what_it_was(study: Tracker, tmp_path: Path) -> None:
    def at(number: int, *values: float, **outcome) -> Trial:
        rungs = tuple((2.0 ** (n - 4), value) for n, value in enumerate(values))
        return trial(number, rungs=rungs, **outcome)

    stopped = {"state": TrialState.PRUNED, "value": None}
    failed = {"state": TrialState.FAILED, "value": None}
    for reported in (
        at(1, 30.0, 20.0, value=4.0),
        at(2, 35.0, **stopped),
        at(3, 25.0, 29.0, **stopped),
        at(4, failure=BROKEN, **failed),
        at(5, failure=LOST, **failed),
        at(5, 30.0, 21.0, value=6.0),
        trial(6, x=99_999.0),
        at(7, 30.0, 18.0, value=3.0),
        at(8, 30.0, **stopped),
    ):
        add(study, reported, tmp_path)
    half_written = {MLFLOW_PARENT_RUN_ID: study.run_id, "state": "complete"}
    store = MlflowClient(study.tracking_uri)
    killed = store.create_run(study.experiment_id, tags=half_written).info.run_id
    store.set_terminated(killed, "KILLED")
    store.create_run(study.experiment_id, tags=half_written)
    study.close("FINISHED")
    known = earlier(study)
    assert [(x, value) for x, value in known if math.isnan(value) is False] == [
        (1.0, 4.0),
        (5.0, 6.0),
        (7.0, 3.0),
        # As far behind the best as it was at the same fidelity.
        (2.0, 3.0 + 35.0 - 30.0),
        (3.0, 3.0 + 29.0 - 18.0),
        (8.0, 3.0),
    ]
    assert [x for x, value in known if math.isnan(value)] == [4.0]


def test_a_pruned_trial_of_a_study_without_a_value_is_no_failure(
    study: Tracker, tmp_path: Path
) -> None:
    add(study, trial(1, state=TrialState.PRUNED, value=None, rungs=((0.5, 1.0),)), tmp_path)
    add(study, trial(2, state=TrialState.FAILED, value=None, failure=BROKEN), tmp_path)
    study.close("FINISHED")
    assert [x for x, _ in earlier(study)] == [2.0]


def test_a_running_study_and_another_models_are_not_read(study: Tracker, tmp_path: Path) -> None:
    add(study, trial(1), tmp_path)
    experiment = Experiment(study.tracking_uri, study.experiment_id)
    reported = partial(known_trials, experiment, space=SPACE)
    assert reported("m") == []
    study.close("FINISHED")
    assert reported("other") == []
    assert len(reported("m")) == 1


def test_a_name_is_found_among_more_models_than_a_page_holds(mlflow_store: str) -> None:
    with sqlite3.connect(mlflow_store.removeprefix("sqlite:///")) as database:
        database.executemany(
            "INSERT INTO registered_models (name, workspace) VALUES (?, 'default')",
            [(f"model-{number:04d}",) for number in range(1_050)],
        )
    Registry(mlflow_store, "model-1049").check_exists()
    with pytest.raises(RegistryError, match="did you mean 'model-1049'"):
        Registry(mlflow_store, "model-1049x").check_exists()
    pages = paged(partial(MlflowClient(mlflow_store).search_registered_models, max_results=400))
    assert len({model.name for model in pages}) == 1_050


def test_a_trial_that_was_measured_is_what_a_study_recorded(
    study: Tracker, tmp_path: Path
) -> None:
    pending = Trial(1, {"x": 1.0}, Source.SWARM, 0, 0, seed=3, fidelity=0.25)
    pruned = pending.measured(Evaluation(7.0), 1.0).pruned()
    add(study, pruned, tmp_path)
    add(study, trial(2, value=2.0, rungs=((0.25, 5.0),)), tmp_path)
    study.close("FINISHED")
    assert earlier(study) == [(2.0, 2.0), (1.0, 4.0)]
