"""What a study outlasts: damaged files, a store that refuses, deletions, a clock set back."""

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from flows import tracked_trainings as module
from flows.display.summary import Summary
from flows.tune import tune
from llmpso.errors import StorageError
from llmpso.objectives import registry
from llmpso.trial import Trial
from tasks.records import ledger
from tasks.store import lock
from tasks.store.state_folders import study_folder

pytestmark = pytest.mark.usefixtures("blank_pictures")

FUNCTION = """
import os, signal
from pathlib import Path
import torch
from llmpso import Evaluation

def fingerprint():
    return Path("data.csv").read_text()

def train(params, seed):
    with Path("trained.txt").open("a") as file:
        file.write(f"{seed}\\n")
    if len(Path("trained.txt").read_text().split()) == int(os.environ.get("SLEEPS_AT", 0)):
        os.kill(os.getpid(), signal.SIGSTOP)
    model = torch.nn.Linear(1, 1, device="cpu")
    return Evaluation((params["x"] - 1) ** 2 + float(fingerprint()), model=model)
"""


@pytest.fixture(autouse=True)
def function(
    prefect_server: None, mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain function that notes each of its trainings, and whose data has a fingerprint."""
    (tmp_path / "space.yaml").write_text("x: {type: float, low: -5, high: 5}\n")
    (tmp_path / "data.csv").write_text("1")
    (tmp_path / "trained.txt").touch()
    (tmp_path / "lost_function.py").write_text(FUNCTION)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("lost_function", None)
    registry._built.cache_clear()


def run(evaluations: int, **options) -> Summary:
    own = {"space_file": "space.yaml", "workers": 2, "threads": 1, "method": "pso", "particles": 4}
    own |= {"synchronous": True}
    return tune("lost_function:train", evaluations=evaluations, **(own | options))


def trained() -> list[str]:
    """The seeds of all trainings so far."""
    return Path("trained.txt").read_text().split()


def studies() -> pd.DataFrame:
    found = mlflow.search_runs(search_all_experiments=True)
    return found[found["tags.mlflow.runName"].str.startswith("lost-function")]


@contextmanager
def before(iteration: int, action: Callable[[], object]) -> Iterator[None]:
    """Does something once a study has come to an iteration."""
    whole = module.iterate

    def acted(number: int, trials: Sequence[Trial], *more):
        if number == iteration:
            action()
        return whole(number, trials, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "iterate", acted)
        yield


def power_cut() -> None:
    raise RuntimeError("the power went")


def cut(iteration: int, evaluations: int, **options) -> None:
    with before(iteration, power_cut), pytest.raises(RuntimeError, match="the power went"):
        run(evaluations, **options)


def of_this_study() -> tuple[str, str]:
    (study,) = studies().to_dict("records")
    return study["run_id"], study["experiment_id"]


def delete_run() -> None:
    MlflowClient().delete_run(of_this_study()[0])


def delete_experiment() -> None:
    MlflowClient().delete_experiment(of_this_study()[1])


def restore(message: str) -> None:
    """Do what a message says."""
    *_, kind, _, option, number = message.partition("`; ")[0].split("`")[1].split()
    assert option in ("--run-id", "--experiment-id")
    getattr(MlflowClient(), f"restore_{kind.rstrip('s')}")(number)


@pytest.mark.parametrize("delete", [delete_run, delete_experiment])
def test_a_study_that_is_deleted_while_it_runs_says_how_it_comes_back(delete) -> None:
    with before(1, delete), pytest.raises(StorageError, match="was deleted in MLflow") as caught:
        run(12)
    before_it = len(trained())
    restore(str(caught.value))
    again = run(12)
    assert again.reused == before_it
    assert len(trained()) == len(set(trained())) == 12
    assert studies()["status"].tolist() == ["FINISHED"]


@pytest.mark.slow
@pytest.mark.parametrize("synchronous", [True, False])
def test_a_machine_that_sleeps_while_another_takes_its_study_over_writes_nothing_more(
    forked_runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synchronous: bool
) -> None:
    options = {"space_file": "space.yaml", "workers": 2, "threads": 1, "method": "pso"}
    options |= {"particles": 4, "synchronous": synchronous, "evaluations": 12}
    code = f"""
from flows.tune import tune
from tasks.store import lock
lock.LOOK_SECONDS = 0.01
tune('lost_function:train', **{options!r})
"""
    own = {"XDG_STATE_HOME": str(tmp_path / "laptop"), "SLEEPS_AT": "6"}
    errors = tmp_path / "errors.txt"
    laptop = forked_runs.begin(code, errors, **own)
    stat = Path(f"/proc/{laptop}/stat")
    while (state := stat.read_text().rpartition(")")[2].split()[0]) != "T":
        assert state != "Z", errors.read_text()
        time.sleep(0.05)
    monkeypatch.setattr(lock, "LOOK_SECONDS", 0.01)
    with before(2, lambda: os.kill(laptop, signal.SIGCONT)):
        taken_over = run(12, synchronous=synchronous)
        ended = forked_runs.ended(laptop)
    assert (ended, studies()["status"].tolist()) == (1, ["FINISHED"])
    said = "BusyError: this process stood still for so long that another one took its"
    assert said in errors.read_text()
    found = mlflow.search_runs(search_all_experiments=True)
    children = found[found["tags.mlflow.parentRunId"] == taken_over.run_id]
    ended = children[children["status"] != "KILLED"]
    assert len(ended) == len(ended["tags.seed"].unique()) == 12


def test_a_store_that_refuses_in_mid_study_loses_nothing(mlflow_store: str) -> None:
    file = mlflow_store.removeprefix("sqlite:///")

    def refuse(statement: str) -> None:
        with closing(sqlite3.connect(file, timeout=60)) as database:
            database.execute(statement)
            database.commit()

    trigger = "CREATE TRIGGER no BEFORE INSERT ON params BEGIN SELECT RAISE(ABORT, 'no'); END"
    with (
        before(1, lambda: refuse(trigger)),
        pytest.raises(StorageError, match=r"cannot be recorded .*: all measurements are stored"),
    ):
        run(12)
    before_it = len(trained())
    refuse("DROP TRIGGER no")
    again = run(12)
    assert again.reused == before_it
    assert len(trained()) == len(set(trained())) == 12


def test_a_clock_that_is_set_back_hides_no_study(monkeypatch: pytest.MonkeyPatch) -> None:
    run(8)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)
    cut(1, 8)
    again = run(8)
    assert again.reused == 4
    assert again.wall_seconds >= 0
    assert len(trained()) == 16


def test_a_study_that_is_started_again_is_not_resumed() -> None:
    cut(1, 8)
    fresh = run(8, fresh=True)
    assert run(8).run_id != fresh.run_id
    assert len(trained()) == 4 + 8 + 8


@pytest.mark.parametrize("options", [{}, {"method": "guided", "advisor": "none"}])
def test_an_extension_that_is_killed_goes_on(options) -> None:
    as_many = options | {"particles": None} if options else options
    first = run(6, workers=3, **as_many)
    cut(3, 14, **as_many)
    cut_at = len(trained())
    again = run(14, **as_many)
    assert 6 < cut_at < 14
    assert (again.run_id, again.reused) == (first.run_id, cut_at)
    assert len(trained()) == len(set(trained())) == 14


def test_nothing_of_older_data_is_used_again() -> None:
    cut(1, 8)
    Path("data.csv").write_text("2")
    registry._built.cache_clear()
    again = run(8)
    assert again.reused == 0
    assert again.best_value >= 2
    assert len(trained()) == 12


@pytest.fixture
def unsent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """MLflow takes no evaluation, until it is called."""

    def unavailable(*_: object) -> None:
        raise MlflowException("it is overloaded", TEMPORARILY_UNAVAILABLE)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "record_trial", unavailable)
        yield patch.undo


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("name", ["outcome.json", "model"])
def test_every_evaluation_that_was_damaged_is_trained_again_and_no_other(
    unsent, caplog, damages, name: str, resume: bool
) -> None:
    n = len(damages) + 1
    cut(1, n + 2, particles=n)
    unsent()
    run_id, _ = of_this_study()
    entries = sorted((study_folder(run_id) / "outcomes").iterdir())
    assert len(entries) == n
    for entry, damage in zip(entries, damages, strict=False):
        file = entry / name
        damage(file if file.is_file() else next(path for path in file.rglob("*.pth")))
    (study_folder(run_id) / "outcomes" / "stray.txt").touch()
    (study_folder(run_id) / "paused" / "stray").mkdir()
    again = run(n + 2, particles=n, fresh=not resume)
    for entry in entries[:-1]:
        assert f"{entry} cannot be used" in caplog.text
    assert again.reused == (1 if resume else 0)
    assert len(trained()) == n + (len(damages) + 2 if resume else n + 2)
    assert len(list((study_folder(run_id) / "damaged").iterdir())) == len(damages) + 1
