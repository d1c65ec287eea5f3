"""A look at a study without a server: in the terminal, as JSON, and as one HTML file."""

import json
import platform
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.command_line import USAGE_ERROR, joined_app, run
from flows.display.sparkline import sparkline
from flows.display.summary import Summary
from flows.display.summary_text import as_text
from flows.tune import tune
from llmpso import Trial
from llmpso.trial import Source
from tasks.records.running_trials import RunningTrials, running_trials
from tasks.records.trial_runs import OUTCOME_TAG
from tasks.store.state_folders import study_folder

HOSTILE = """
from llmpso import Categorical, Evaluation, Float, SearchSpace


class Hostile:
    name = "<script>alert(1)</script>"
    metric = "error <b>%</b>"
    description = "x"
    space = SearchSpace({"x": Float(-5.0, 5.0), "</td><img src=x>": Categorical(("<i>", "b"))})

    def evaluate(self, params, *, fidelity, seed):
        if params["x"] > 3:
            raise RuntimeError("<i>cliff</i>")
        return Evaluation(params["x"] ** 2, {"<u>": 1.0})
"""


TRIAL = Trial(99, {"x": 1.5}, Source.SWARM, iteration=9, particle=0, seed=0)


@pytest.fixture
def summary(prefect_server, mlflow_store, blank_pictures, tmp_path, monkeypatch) -> Summary:
    (tmp_path / "hostile.py").write_text(HOSTILE)
    monkeypatch.syspath_prepend(tmp_path)
    return tune("hostile:Hostile", advisor="none", workers=1, evaluations=14, seed=3)


def llmpso(*arguments: str) -> int:
    return run(joined_app(), arguments)


def test_a_study_is_shown_and_sent_as_a_file(summary, capsys) -> None:
    assert llmpso("show", "hostile:Hostile") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{summary.study}\n")
    assert "finished: all evaluations were used" in shown
    assert re.search(r"^failures +\w+: .+ \(\d+ trials?\)", shown, flags=re.MULTILINE)
    assert "\nfailures          " in as_text(summary)
    assert summary.failures in json.dumps(summary.record(), ensure_ascii=False)
    assert f"{summary.best_value:.4g}, trial {summary.best_number}" in shown
    assert len(re.findall(r"^ +\d+  (?:complete|failed)", shown, flags=re.MULTILINE)) == 14
    assert re.search(r"best so far +█.*▁  \S+ → ", shown)

    assert llmpso("show", summary.run_id[:8], "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["best"], len(record["trials"])) == (summary.best_number, 14)
    assert record["trials"][record["best"]]["value"] == summary.best_value

    assert llmpso("report", summary.objective, "--html", "report.html") == 0
    assert f"14 trials of {summary.study} written to report.html" in capsys.readouterr().out
    page = Path("report.html").read_text(encoding="utf-8")
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    tags = {tag.partition(" ")[0] for tag in re.findall(r"</?([^<>]+)>", own)}
    assert tags & {"script", "img", "i", "b", "u"} == set()
    assert page.count("<script>") == page.count("</script>") == 2
    assert not re.search(r'(?:src|href)="(?!#)', own)
    assert "prefers-color-scheme: dark" in own


def numbers(shown: str) -> list[int]:
    """Of the trials in a table, in its order."""
    return [int(number) for number in re.findall(r"^ +(\d+)  [a-z]+ ", shown, flags=re.MULTILINE)]


def test_of_a_long_study_the_best_come_first(mlflow_store, capsys) -> None:
    values = [(7 * n) % 40 for n in range(40)]
    rows = [f"{n / 10},{'' if n == 39 else value}" for n, value in enumerate(values)]
    Path("long.csv").write_text("\n".join(["x,value", *rows]))
    Path("space.yaml").write_text("x: {type: float, low: 0, high: 5}\n")
    assert llmpso("import", "long.csv", "--space-file", "space.yaml", "--metric", "cost") == 0
    capsys.readouterr()
    assert llmpso("show") == 0
    shown = capsys.readouterr().out
    assert "the best 30 of 40; --all shows all" in shown
    valued = sorted(range(39), key=lambda n: values[n])
    assert numbers(shown) == valued[:30]
    assert llmpso("show", "--all") == 0
    assert numbers(capsys.readouterr().out) == list(range(40))


def test_what_runs_now_is_shown_while_its_process_lives(summary, capsys) -> None:
    store, folder = MlflowClient(), study_folder(summary.run_id)
    folder.mkdir(parents=True)
    RunningTrials(folder).begin([TRIAL])

    def claim(at: datetime) -> None:
        facts = {"host": platform.node(), "process": 12, "time": at.isoformat()}
        store.set_tag(summary.run_id, "llmpso.running.1", json.dumps(facts))

    claim(datetime.now(UTC))
    assert llmpso("show") == 0
    shown = capsys.readouterr().out
    assert f"running: process 12 on {platform.node()}" in shown
    assert "trial 99, swarm, for 0 s: x 1.5" in shown
    claim(datetime.now(UTC) - timedelta(minutes=2))
    store.update_run(summary.run_id, "RUNNING")
    assert llmpso("show", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["running"] == []
    assert record["state"] == "interrupted; the same command resumes it"
    assert llmpso("show") == 0
    assert "all evaluations were used" not in capsys.readouterr().out


def test_what_cannot_be_shown_is_said_in_one_line(summary, capsys) -> None:
    store = MlflowClient()

    def refused(*arguments: str) -> str:
        assert llmpso(*arguments) == USAGE_ERROR
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("error: ")
        return said

    assert f"did you mean {summary.objective!r}?" in refused("show", summary.objective[:-2])
    assert "known: <script>" in refused("show", "x")
    assert "there is no study '" in refused("report", "0" * 32, "--html", "r.html")
    assert "cannot be written (No such file" in refused("report", "--html", "no/folder/r.html")
    experiment = store.get_run(summary.run_id).info.experiment_id
    children = f"tags.`mlflow.parentRunId` = '{summary.run_id}'"
    for child in store.search_runs([experiment], children):
        store.set_tag(child.info.run_id, f"{OUTCOME_TAG}.0", '{"number": 0}')
    # What it left for later studies is no longer there, either.
    (file,) = Path(store.get_run(summary.run_id).info.artifact_uri).rglob("past_study.json")
    file.unlink()
    assert "another version of llmpso recorded study" in refused("show")
    empty = store.create_run(experiment, tags={"metric": "error"}, run_name="empty")
    assert f"study 'empty' (run {empty.info.run_id}) has no trials yet" in refused("show")


def test_a_store_that_cannot_be_read_is_one_line(mlflow_store, monkeypatch, capsys) -> None:
    assert llmpso("show") == USAGE_ERROR
    assert "there is no study in 'sqlite:" in capsys.readouterr().err
    for uri, said in (
        ("sqlite:///none.db", "there is no study yet: 'sqlite:///none.db' does not exist"),
        ("sqlite:///odd.db", "odd.db is no SQLite database"),
        ("http://me:hunter2@127.0.0.1:9", "refuses: "),
    ):
        Path("odd.db").write_text("no database")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setattr("mlflow.get_tracking_uri", lambda uri=uri: uri)
        assert llmpso("show") == USAGE_ERROR
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
        assert "hunter2" not in error
    assert not Path("none.db").exists()


def test_a_curve_is_a_line_of_blocks() -> None:
    assert sparkline([8.0, 4.0, 4.0, 1.0]) == "█▄▄▁"
    assert sparkline([1e6, 1e3, 1.0]) == "█▅▁"
    assert sparkline([2.0]) == "▁"
    assert sparkline([]) == ""
    assert len(sparkline(list(map(float, range(1000))))) == 60


def test_notes_of_running_trials_cost_no_time(mlflow_store) -> None:
    folder = study_folder("0" * 32)
    folder.mkdir(parents=True)
    notes, other = RunningTrials(folder), replace(TRIAL, number=3)
    begin = time.perf_counter()
    for _ in range(100):
        notes.begin([TRIAL, other])
        notes.end([TRIAL])
    assert time.perf_counter() - begin < 1.0
    assert [trial.number for trial in running_trials("0" * 32)] == [3]
    with (folder / "running.jsonl").open("a") as file:
        file.write('[{"number"')
    assert [trial.number for trial in running_trials("0" * 32)] == [3]
    RunningTrials(folder)
    assert running_trials("0" * 32) == []
    RunningTrials(folder / "gone").begin([TRIAL])
