"""Which earlier studies a new one begins from: alike ones first; nothing in the store stops it."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from llmpso.errors import SpecError
from llmpso.memory.past_study import PastStudy, PastTrial
from llmpso.memory.reference_studies import reference_studies
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.options import MemoryOptions
from llmpso.space import Float, Integer, SearchSpace
from tasks.earlier_studies import find as memory
from tasks.earlier_studies.find import Recalled, Sought, check_experiments, found, recorded
from tasks.records.past_studies import record_past_study
from tasks.store.experiment import MODEL_TAG, Experiment
from tasks.store.names import keys
from tasks.store.tracker import Tracker

SPACE = SearchSpace({"rate|x": Float(0.0, 1.0), "units": Integer(1, 64)})
PARAMS = {f"space.{key}": "a range" for key in keys(SPACE).values()}

Ended = Callable[..., Tracker]


@pytest.fixture
def sought(mlflow_store: str) -> Sought:
    own = MlflowClient().create_experiment("own")
    return Sought(Experiment(mlflow_store, own), SPACE, "error (%)", "net", "net-model")


@pytest.fixture
def ended(mlflow_store: str) -> Ended:
    """Makes a finished study; a name in the way it is made differs from one that is alike."""

    def make(
        name: str,
        *,
        experiment: str = "other",
        tags: dict | None = None,
        params: dict | None = None,
        status: str = "FINISHED",
        **fields,
    ) -> Tracker:
        client = MlflowClient()
        known = client.get_experiment_by_name(experiment)
        number = known.experiment_id if known else client.create_experiment(experiment)
        labels = {"metric": "error (%)", "objective": "net", MODEL_TAG: "net-model"}
        study = Experiment(mlflow_store, number).start(
            name, PARAMS if params is None else params, labels | (tags or {})
        )
        trials = [
            PastTrial(params={"rate|x": n / 10, "units": n}, value=float(n)) for n in range(1, 6)
        ]
        past = {"name": name, "reference": "", "metric": "error (%)", "trials": trials}
        record_past_study(study, PastStudy(**past | fields))
        if status:
            study.close(status)
        return study

    return make


def names(recalled: Recalled) -> list[str]:
    return [study.name for study in recalled.studies]


def limited(sought: Sought, **options) -> Recalled:
    return found(replace(sought, options=MemoryOptions(**options)))


def test_the_most_alike_come_first_and_of_these_the_newest(sought: Sought, ended: Ended) -> None:
    ended("another objective", tags={"objective": "tree", MODEL_TAG: "tree"})
    ended("old", experiment="own")
    ended("another model", tags={MODEL_TAG: "another"}, experiment="own")
    ended("half the space", params={"space.units": "a range"})
    time.sleep(0.01)
    ended("new", experiment="own")
    order = ["new", "old", "half the space", "another model", "another objective"]
    assert names(found(sought)) == order
    assert names(limited(sought, memory_studies=2)) == order[:2]
    assert names(limited(sought, memory_experiments=("other",))) == [order[2], order[4]]
    assert names(limited(sought, memory_days=1.0)) == order
    assert limited(sought, memory_days=1e-9) == Recalled(left_out=("5 too old",))


def test_what_cannot_be_used_is_counted_in_one_line(sought: Sought, ended: Ended) -> None:
    fitting = PastTrial(params={"rate|x": 0.5, "units": 3}, value=1.0)
    outside = PastTrial(params={"rate|x": 5.0, "units": 3}, value=1.0)
    ended("alike")
    ended("another metric", tags={"metric": "accuracy"})
    ended("a third metric", tags={"metric": "error of another kind"})
    ended("another space", params={"space.depth": "a range"})
    ended("outside", trials=[fitting, fitting, outside, outside])
    ended("without trials", trials=[])
    ended("no study of ours", params={"depth": "3"}, tags={"metric": "loss"})
    ended("running", status="")
    ended("killed", status="KILLED")
    ended("failed", status="FAILED")
    recalled = found(sought)
    assert names(recalled) == ["alike"]
    assert recalled.left_out == (
        "2 of another metric",
        "2 with too few trials in this space",
        "1 of other hyperparameters",
    )


def test_two_metrics_under_one_name_and_other_units_are_not_mixed(
    sought: Sought, ended: Ended
) -> None:
    """Each study is compared with itself only, so its unit does not matter."""
    ended("seconds", tags={"metric": "Error (s)"})
    ended("share", tags={"metric": "error"})
    assert sorted(names(found(sought))) == ["seconds", "share"]


def test_deleted_studies_files_and_experiments_do_not_stop_a_study(
    sought: Sought, ended: Ended
) -> None:
    client = MlflowClient()
    client.delete_run(ended("deleted").run_id)
    lost = ended("without files")
    shutil.rmtree(Path(urlsplit(client.get_run(lost.run_id).info.artifact_uri).path))
    gone = ended("deleted experiment", experiment="gone")
    client.delete_experiment(gone.experiment_id)
    assert found(sought) == Recalled(left_out=("1 with too few trials in this space",))


def test_an_unreadable_study_is_left_out_and_a_silent_store_is_no_error(
    sought: Sought, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended("first")
    ended("second")
    read = memory.read_past_study

    def breaks(study, run, copies):
        if run.info.run_name == "first":
            raise MlflowException("the artifact store is gone")
        return read(study, run, copies)

    monkeypatch.setattr(memory, "read_past_study", breaks)
    recalled = found(sought)
    assert names(recalled) == ["second"]
    assert recalled.left_out == ("1 not readable",)
    monkeypatch.setattr(memory, "_finished", lambda sought: breaks_at_once())
    silent = found(sought)
    assert silent.studies == ()
    assert silent.left_out == ("earlier studies cannot be searched: no answer",)


def breaks_at_once():
    raise MlflowException("no answer")


def test_a_damaged_record_of_what_a_study_began_from_is_none(ended: Ended) -> None:
    study = ended("study")
    assert recorded(study) is None
    recalled = Recalled(left_out=("1 too old",))
    memory.record(study, recalled)
    assert recorded(study) == recalled
    study.record_text(memory.RECALLED, '{"studies": [{"name"')
    assert recorded(study) is None


def test_a_name_of_no_experiment_is_refused(mlflow_store: str, ended: Ended) -> None:
    ended("study", experiment="air quality")
    check_experiments(mlflow_store, ("air quality",))
    with pytest.raises(SpecError, match="no such experiment, did you mean 'air quality'?"):
        check_experiments(mlflow_store, ("air-quality",))


def test_without_earlier_studies_a_network_begins_from_those_that_ship(
    sought: Sought, ended: Ended
) -> None:
    objective = build_objective(ObjectiveSpec("cnn"))
    network = replace(sought, space=objective.space, metric=objective.metric, network="cnn")
    ended("a study of something else")
    assert found(network).studies == reference_studies("cnn") != ()
    assert found(replace(network, metric="seconds")).studies == ()
    for limit in (MemoryOptions(memory_experiments=("own",)), MemoryOptions(memory_days=30)):
        assert found(replace(network, options=limit)).studies == ()
    assert names(found(replace(sought, network="cnn"))) == ["a study of something else"]
