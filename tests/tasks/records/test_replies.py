"""The language model's replies: each is requested once, even if its file is damaged."""

import json
from pathlib import Path

import mlflow
import pytest

from llmpso.backends.base import Message, Reply, Request
from scripted_backend import ScriptedBackend
from tasks.records.replies import ARTIFACT, StudyReplies
from tasks.store.experiment import Experiment
from tasks.store.state_folders import study_folder
from tasks.store.tracker import Tracker


@pytest.fixture
def study(mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    experiment = mlflow.MlflowClient().create_experiment("replies")
    study = Experiment(mlflow_store, experiment).start("study", {}, {})
    study_folder(study.run_id).mkdir(parents=True)
    return study


def asked(study: Tracker, *questions: str) -> ScriptedBackend:
    """A backend that was asked through the kept replies."""
    backend = ScriptedBackend(
        lambda request: Reply(request.messages[0].content.upper(), 3, 2, 0.1)
    )
    kept = StudyReplies(backend, study)
    for question in questions:
        request = Request((Message("user", question),), {})
        assert kept.complete(request).text == question.upper()
    return backend


def test_a_reply_is_stored_before_it_is_used(study):
    assert len(asked(study, "a", "b", "a").requests) == 3
    assert asked(study, "a", "b", "a").requests == []


def test_a_damaged_file_is_set_aside_and_mlflow_has_the_replies(study, damage, caplog):
    asked(study, "a", "b")
    file = study_folder(study.run_id) / "replies.jsonl"
    damage(file)
    assert asked(study, "a", "b").requests == []
    is_noticed = damage.__name__ not in ("removed", "emptied", "filled_with_nul", "halved")
    assert len(caplog.messages) == is_noticed
    assert file.is_file() and asked(study, "a", "b").requests == []


def test_replies_that_mlflow_has_not_are_read_from_whole_lines(study):
    """Those of a time when the server was away."""
    asked(study, "a", "b", "c")
    mlflow.MlflowClient().log_text(study.run_id, "no replies at all\n", ARTIFACT)
    file = study_folder(study.run_id) / "replies.jsonl"
    first, second, third = file.read_text().splitlines(keepends=True)
    file.write_text(first + "damaged" + second + third)
    (again,) = asked(study, "a", "c", "b").requests
    assert again.messages[0].content == "b"
    assert len(list(study_folder(study.run_id).glob("damaged/*"))) == 1


def test_a_line_that_a_kill_cut_short_is_asked_again(study, caplog):
    asked(study, "a", "b")
    mlflow.MlflowClient().log_text(study.run_id, "", ARTIFACT)
    file = study_folder(study.run_id) / "replies.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    assert len(asked(study, "a", "b").requests) == 1
    assert asked(study, "a", "b").requests == []
    assert caplog.messages == []
    assert all(json.loads(line) for line in file.read_text().splitlines())
