"""What a terminal shows of a study, and what it does not where there is none."""

import io
import logging

import pytest
from rich.console import Console

from flows.display.progress import ReportingBackend, StudyProgress
from flows.display.terminal import quiet, shown_on_terminal, view
from llmpso.backends.base import Message, Reply, Request
from llmpso.trial import Evaluation, Failure, FailureKind, Source, Trial
from scripted_backend import ScriptedBackend


def trial(number: int, value: float | None, source: Source = Source.SWARM) -> Trial:
    pending = Trial(number, {"x": 0.5}, source, 0, 0, 0)
    if value is None:
        return pending.failed(Failure(FailureKind.TIMEOUT, "too slow"), 1.0)
    return pending.completed(Evaluation(value), 1.0)


@pytest.fixture
def progress() -> StudyProgress:
    return StudyProgress(10, "validation RMSE (µg/m³)", logging.getLogger("a-test"))


def seen(progress: StudyProgress) -> str:
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(view(progress, n_workers=2))
    return console.file.getvalue()


def test_before_the_first_trial_there_is_no_best(progress) -> None:
    assert "0/10" in seen(progress)
    assert "choosing the next configurations" in seen(progress)


def test_the_view_shows_best_source_and_what_is_under_way(progress) -> None:
    progress(trial(0, 30.0))
    progress(trial(1, 26.5, Source.DEFAULT))
    progress(trial(2, None))
    progress.begin([trial(number, None) for number in (3, 4, 5)])
    text = seen(progress)
    assert "3/10, 1 failed" in text
    assert "26.5  from default, 1 trial ago" in text
    assert "●●○  2 running, 1 waiting" in text
    assert "left" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_view_shows_that_the_language_model_is_thinking(progress) -> None:
    def answer(request: Request) -> Reply:
        assert "waiting for the LLM" in seen(progress)
        return Reply("{}", 1, 1, seconds=0.1)

    backend = ReportingBackend(ScriptedBackend(answer), progress)
    backend.complete(Request((Message("user", "where?"),), {}))
    assert "waiting for the LLM" not in seen(progress)
    assert "1 request" in seen(progress)


@pytest.mark.parametrize(("is_terminal", "is_quiet"), [(False, False), (True, True)])
def test_no_view_without_a_terminal_or_with_quiet(
    progress, monkeypatch, capsys, is_terminal, is_quiet
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    with quiet(is_quiet), shown_on_terminal(progress, 2):
        progress(trial(0, 30.0))
    assert capsys.readouterr().err == ""


def test_the_address_of_the_run_is_shown_while_it_runs(progress, monkeypatch, capsys) -> None:
    page = "http://127.0.0.1:4200/runs/flow-run/01a21cbc-7dd4-7393-ae7a-5c33209ca8a6"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with shown_on_terminal(progress, 2, page):
        assert f"Prefect: {page}\n" in capsys.readouterr().err


def test_what_people_should_know_of_the_data_is_a_warning_of_the_log(caplog) -> None:
    notes = ("column 'No' is left out: it merely counts rows",)
    StudyProgress(10, "error", logging.getLogger("a-test"), notes)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == notes[0]
