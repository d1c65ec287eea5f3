"""What a study reads of earlier ones: their trials, each as what it was."""

import json
import math
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from llmpso.errors import RegistryError
from llmpso.memory.mapping import MappedStudy, mapped
from llmpso.memory.past_study import MOST_TRIALS, PastState, PastStudy, PastTrial
from llmpso.running.pending_records import PendingRecord, trial_record
from llmpso.space import Float, SearchSpace
from llmpso.trial import Evaluation, Failure, FailureKind, Source, Trial, TrialState
from tasks.earlier_studies.find import Recalled, Sought, found
from tasks.models.registry import Registry
from tasks.records import past_studies
from tasks.records.past_studies import (
    PAST_STUDY,
    Copies,
    read_past_study,
    record_past_study,
    saved_copies,
)
from tasks.records.recorded_trials import ended_trials, recorded_trials
from tasks.records.trial_runs import ADDRESS_TAG, OUTCOME_TAG, record_trial
from tasks.store.client import paged
from tasks.store.experiment import MODEL_TAG, Experiment
from tasks.store.tracker import Tracker

SPACE = SearchSpace({"x": Float(0.0, 10_000.0)})
LOST = Failure(FailureKind.LOST_WORKER, "killed")
BROKEN = Failure(FailureKind.EXCEPTION, "there is a hole")


@pytest.fixture
def study(mlflow_store: str) -> Tracker:
    """A study of the model `m`, without trials."""
    experiment = MlflowClient(mlflow_store).create_experiment("history")
    return Experiment(mlflow_store, experiment).start(
        "study", {"space.x": "Float"}, {MODEL_TAG: "m", "metric": "cost (min)"}
    )


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


def sought(study: Tracker, **given) -> Sought:
    experiment = Experiment(study.tracking_uri, study.experiment_id)
    return Sought(
        **{
            "experiment": experiment,
            "space": SPACE,
            "metric": "cost (s)",
            "objective": "o",
            "model": "m",
        }
        | given
    )


def read(study: Tracker) -> PastStudy:
    run = study.store.get_run(study.run_id)
    return read_past_study(study, run, saved_copies())


def earlier(study: Tracker) -> list[tuple[float, PastState, float]]:
    """What is known of the study: x, state and value of each trial."""
    return [(trial.params["x"], trial.state, trial.value) for trial in read(study).trials]


def test_a_study_of_many_runs_is_read_to_its_end(study: Tracker) -> None:
    n_trials = 2_001
    add_many(study, [trial(number) for number in range(n_trials)])
    study.close("FINISHED")
    assert len(recorded_trials(study)) == len(ended_trials(study)) == n_trials
    (past,) = found(sought(study)).studies
    assert len(past.trials) == MOST_TRIALS
    # The oldest trials, here the best, are the last that a store gives.
    places = {trial.params["x"] for trial in past.trials}
    assert places >= {float(n) for n in range(MOST_TRIALS // 2)}
    assert max(places) == n_trials - 1


def test_every_trial_is_what_it_was(study: Tracker, tmp_path: Path) -> None:
    def at(number: int, *values: float, **outcome) -> Trial:
        rungs = tuple((2.0 ** (n - 4), value) for n, value in enumerate(values))
        fidelity = rungs[-1][0] if outcome.get("state") is TrialState.PRUNED else 1.0
        return trial(number, rungs=rungs, fidelity=fidelity, **outcome)

    stopped = {"state": TrialState.PRUNED, "value": None}
    failed = {"state": TrialState.FAILED, "value": None}
    for reported in (
        at(1, 30.0, 20.0, value=4.0),
        at(2, 35.0, **stopped),
        at(3, 25.0, 29.0, **stopped),
        trial(4, failure=BROKEN, **failed),
        trial(5, failure=LOST, **failed),
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
    known = mapped(SPACE, read(study))
    assert isinstance(known, MappedStudy)
    found = zip((params["x"] for params in known.params), known.values.tolist(), strict=True)
    assert list(found) == [
        (1.0, 4.0),
        # As far behind the best as it was at the same fidelity.
        (2.0, 3.0 + 35.0 - 30.0),
        (3.0, 3.0 + 29.0 - 18.0),
        (4.0, math.inf),
        (5.0, 6.0),
        (7.0, 3.0),
        (8.0, 3.0),
    ]


def test_a_pruned_trial_of_a_study_without_a_value_is_no_failure(
    study: Tracker, tmp_path: Path
) -> None:
    pruned = trial(1, state=TrialState.PRUNED, value=None, rungs=((0.5, 1.0),), fidelity=0.5)
    add(study, pruned, tmp_path)
    add(study, trial(2, state=TrialState.FAILED, value=None, failure=BROKEN), tmp_path)
    study.close("FINISHED")
    (_, *states), (_, failed, value) = earlier(study)
    assert states == [PastState.PRUNED, 1.0]
    assert failed is PastState.FAILED
    assert math.isnan(value)
    assert found(sought(study)) == Recalled(left_out=("1 with too few trials in this space",))


def test_a_running_study_is_not_read(study: Tracker, tmp_path: Path) -> None:
    for number in range(3):
        add(study, trial(number), tmp_path)
    assert found(sought(study)) == Recalled()
    study.close("FINISHED")
    assert len(found(sought(study)).studies) == 1


def test_a_study_that_left_a_file_is_read_from_it_and_once(
    study: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = PastStudy(
        name="left",
        reference="",
        metric="cost (h)",
        trials=[
            PastTrial(params={"x": 1.0}, value=math.nan, state=PastState.FAILED),
            *(PastTrial(params={"x": float(n)}, value=float(n)) for n in range(3)),
        ],
    )
    record_past_study(study, left)
    study.close("FINISHED")
    first = found(sought(study))
    monkeypatch.setattr(past_studies, "get_artifact_repository", None)
    assert found(sought(study)).model_dump_json() == first.model_dump_json()
    (past,) = first.studies
    assert (past.name, past.reference) == ("left", study.run_id)
    assert [t.params for t in past.trials] == [t.params for t in left.trials]


def test_a_damaged_copy_and_a_damaged_file_are_read_again(
    study: Tracker, tmp_path: Path, damage
) -> None:
    for number in range(3):
        add(study, trial(number), tmp_path)
    study.record_text(PAST_STUDY, '{"name": ')
    study.close("FINISHED")
    (first,) = found(sought(study)).studies
    assert len(first.trials) == 3
    for copy in saved_copies().folder.glob(f"{study.run_id}*"):
        damage(copy)
    assert found(sought(study)).studies == (first,)


def test_a_study_that_was_extended_is_read_again(study: Tracker, tmp_path: Path) -> None:
    for number in range(3):
        add(study, trial(number), tmp_path)
    study.close("FINISHED")
    assert len(read(study).trials) == 3
    study.reopen({})
    add(study, trial(3), tmp_path)
    study.close("FINISHED")
    assert len(read(study).trials) == 4


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
    add(study, trial(3, value=3.0), tmp_path)
    add(study, trial(4, value=4.0), tmp_path)
    study.close("FINISHED")
    known = mapped(SPACE, read(study))
    assert isinstance(known, MappedStudy)
    assert known.values.tolist() == [2.0 + 7.0 - 5.0, 2.0, 3.0, 4.0]


def test_studies_that_begin_at_once_do_not_spoil_each_others_copies(
    tmp_path: Path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(past_studies, "MOST_COPIES", 2)
    past = PastStudy(name="one", reference="1", metric="m", ended=datetime.now(UTC), trials=())
    copies = Copies(tmp_path)

    def begin(_: int) -> None:
        for number in range(100):
            copies.put(f"{number % 4}.json", past)
            copies.forget_oldest()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(begin, range(4)))
    assert caplog.text == ""
    copies.forget_oldest()
    assert len(list(tmp_path.iterdir())) == 2
