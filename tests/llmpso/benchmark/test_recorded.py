"""Replies are kept once and come back byte for byte, without the model."""

from pathlib import Path

import pytest

from llmpso.backends.base import Message, Reply, Request
from llmpso.backends.replies import question_key
from llmpso.benchmark.recorded import RecordedBackend
from llmpso.errors import BackendError, SpecError
from scripted_backend import ScriptedBackend


def question(text: str, seed: int = 0) -> Request:
    return Request((Message("user", text),), {"type": "object"}, seed=seed)


@pytest.mark.parametrize("name", ["replies.jsonl", "replies.jsonl.gz"])
def test_a_replay_gives_the_very_replies_and_sends_no_request(tmp_path: Path, name: str) -> None:
    reply = Reply('{"π": 1}', prompt_tokens=7, completion_tokens=3, seconds=1.25, retries=1)
    recording = RecordedBackend(tmp_path / name, ScriptedBackend([reply, "second"]))
    recorded = [recording.complete(question("one")), recording.complete(question("two"))]
    replay = RecordedBackend(tmp_path / name)
    assert [replay.complete(question("one")), replay.complete(question("two"))] == recorded
    assert recorded[0] == reply
    assert replay.identity == recording.identity


def test_the_same_question_is_asked_once_over_several_recordings(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    RecordedBackend(path, ScriptedBackend(["one"])).complete(question("?"))
    again = ScriptedBackend(["two"])
    backend = RecordedBackend(path, again)
    assert backend.complete(question("?")).text == "one"
    assert again.requests == []
    assert backend.complete(question("?", seed=1)).text == "two"


def test_a_question_that_was_not_recorded_has_no_reply(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    RecordedBackend(path, ScriptedBackend(["one"])).complete(question("?"))
    with pytest.raises(BackendError, match="holds no reply to question"):
        RecordedBackend(path).complete(question("!"))


def test_a_failed_call_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    backend = RecordedBackend(path, ScriptedBackend([BackendError("down"), "up"]))
    with pytest.raises(BackendError, match="down"):
        backend.complete(question("?"))
    assert backend.complete(question("?")).text == "up"


def test_one_file_holds_one_model(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    RecordedBackend(path, ScriptedBackend([]))

    class Other(ScriptedBackend):
        identity = {"backend": "scripted", "model": "other"}

    with pytest.raises(SpecError, match="holds replies of .*scripted.*, not .*other"):
        RecordedBackend(path, Other([]))


@pytest.mark.parametrize("content", [None, "", "no json", '{"key": "1"}\n'])
def test_what_holds_no_replies_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "replies.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SpecError, match="replies"):
        RecordedBackend(path)


def test_the_key_depends_on_model_and_question() -> None:
    keys = {
        question_key({"model": model}, question(text)) for model in "ab" for text in ("one", "two")
    }
    assert len(keys) == 4
