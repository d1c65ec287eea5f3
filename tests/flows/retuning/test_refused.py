"""What is refused, breaks or is interrupted leaves the champion as it is."""

import signal
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest

from flows.refit import compare_arms
from flows.retune import retune
from flows.retune_plan import RetuneOptions, RetunePlan, check_retune
from llmpso.errors import (
    DataError,
    LLMPSOError,
    RegistryError,
    SpecError,
    StorageError,
)
from llmpso.objectives import registry
from pm25 import FAST, aliases, arguments, until
from tasks.iterate import iterate

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.mark.parametrize(
    ("change", "data", "message"),
    [
        ({"model": "pm52"}, {}, "model 'pm52' is not registered at .*; did you mean 'pm25'?"),
        (
            {"min_new_rows": 9000},
            {},
            "there are 4,416 rows since .*; at least 9,000 are asked for",
        ),
        ({}, {"TEMP": None}, "column 'TEMP' is gone, or does not vary any more"),
        ({}, {"TEMP": "warm"}, "column 'TEMP' held numbers and now holds text"),
        (
            {},
            {"TEMP": None, "TEMP_C": 20.0},
            r"'TEMP' is gone, .*; did you mean 'TEMP_C'\?; .* --register-as",
        ),
    ],
)
def test_what_cannot_be_retuned_is_refused_and_the_champion_stays(
    champion, measurements, mlflow_store, change, data, message
) -> None:
    until(measurements, "2012-12-31", **data)
    if data.get("TEMP", 1) is None:
        pd.read_csv("data.csv").drop(columns="TEMP").to_csv("data.csv", index=False)
    with pytest.raises(LLMPSOError, match=message):
        check_retune(RetuneOptions(**arguments(champion, **change)))
    assert aliases(mlflow_store) == {"champion": "1"}


def test_old_data_is_refused(champion, measurements) -> None:
    with pytest.raises(DataError, match="there are 0 rows since 2012-06-30T23:00:00.*coming in"):
        check_retune(RetuneOptions(**arguments(champion)))


def test_a_champion_whose_artifact_is_gone_is_refused(
    champion, measurements, mlflow_store
) -> None:
    until(measurements, "2012-12-31")
    # Other tests begin with these files too: only this test's store loses the way to them.
    with sqlite3.connect("mlflow.db") as database:
        database.execute("UPDATE model_versions SET storage_location = storage_location || 's'")
    with pytest.raises(RegistryError, match="artifact of models:/pm25/1 cannot be loaded"):
        check_retune(RetuneOptions(**arguments(champion)))
    assert aliases(mlflow_store) == {"champion": "1"}


def test_a_champion_that_cannot_take_the_newest_data_is_named_before_anything_is_tuned(
    champion, measurements, monkeypatch
) -> None:
    """Such as one that fails at a category which it never saw."""

    def held_out(plan, model):
        raise KeyError("gold")

    until(measurements, "2012-12-31")
    monkeypatch.setattr(RetunePlan, "held_out", held_out)
    said = r"champion pm25 version 1 cannot be measured on the newest data: KeyError\('gold'\)"
    with pytest.raises(DataError, match=f"{said}; correct .*llmpso retune --model NAME"):
        check_retune(RetuneOptions(**arguments(champion)))


def test_an_objective_without_a_hold_out_set_is_refused(mlflow_store, bowl) -> None:
    with pytest.raises(SpecError, match=r"objective Bowl has no held_out\(model\)"):
        check_retune(RetuneOptions(**arguments(bowl)))


def test_scores_in_the_place_of_losses_are_refused_before_the_first_champion() -> None:
    """Each later retuning would fail: an error below 0 cannot rise by a share."""
    objective = SimpleNamespace(held_out=lambda model: [-0.9, -0.8])
    plan = SimpleNamespace(tune=SimpleNamespace(objective=objective))
    with pytest.raises(DataError, match=r"returned -0.9; a loss is 0 or more"):
        RetunePlan.held_out(plan, "model")


@pytest.mark.slow
def test_a_tracking_server_that_becomes_unavailable_in_mid_run_changes_nothing(
    champion, measurements, mlflow_store, monkeypatch, services, finds_another
) -> None:
    until(measurements, "2012-12-31")
    address = f"http://127.0.0.1:{(port := services.free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    server = services.start([*command, "--backend-store-uri", mlflow_store])

    def win_and_lose_the_server(arms, rule):
        services.stop(server, signal.SIGKILL)
        return replace(compare_arms(arms, rule), at_least=0.5)

    services.wait_for(f"{address}/health")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    mlflow.set_tracking_uri(address)
    monkeypatch.setattr("flows.retune.compare_arms", win_and_lose_the_server)
    with pytest.raises(StorageError, match=f"MLflow at {address} stopped answering .*as it"):
        retune(**arguments(champion, evaluations=4, refits=2))
    assert aliases(mlflow_store) == {"champion": "1"}


def test_a_run_that_breaks_leaves_the_champion_and_says_so(
    champion, measurements, mlflow_store, monkeypatch
) -> None:
    def broken(*args, **kwargs):
        raise RuntimeError("the disk is full")

    until(measurements, "2012-12-31")
    monkeypatch.setattr("flows.retune.refit_arms", broken)
    with pytest.raises(RuntimeError, match="the disk is full"):
        retune(objective=champion, **FAST)
    assert aliases(mlflow_store) == {"champion": "1"}
    runs = mlflow.search_runs(search_all_experiments=True)
    assert set(runs[runs["tags.retunes"] == "pm25"]["status"]) == {"FINISHED", "FAILED"}


@pytest.mark.parametrize(("has_fingerprint", "n_reused"), [(True, 4), (False, 0)])
def test_an_interrupted_run_continues_if_its_objective_has_a_fingerprint(
    prefect_server, champion, measurements, monkeypatch, has_fingerprint, n_reused
) -> None:
    sys.modules.pop("ridge_objective", None)
    registry._built.cache_clear()
    if has_fingerprint:
        text = Path("ridge_objective.py").read_text()
        Path("ridge_objective.py").write_text(f'{text}\n    fingerprint = "data of 2012"\n')

    def broken(number: int, *more):
        if number == 1:
            raise RuntimeError("the power went")
        return iterate(number, *more)

    until(measurements, "2012-12-31")
    with monkeypatch.context() as patch:
        patch.setattr("flows.tracked_trainings.iterate", broken)
        with pytest.raises(RuntimeError, match="the power went"):
            retune(objective=champion, **FAST)
    assert retune(objective=champion, **FAST).study.reused == n_reused
