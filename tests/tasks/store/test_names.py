"""Names as MLflow takes them, by its own rules and a real store of it."""

import mlflow
import pytest
from mlflow.entities import Metric, Param
from mlflow.utils import validation

from llmpso.errors import SpecError
from llmpso.safe_names import twins
from tasks.store.names import (
    by_name,
    experiment_name,
    key,
    keys,
    metric_key,
    metric_keys,
    model_name,
)

NAMES = [
    "recall@5",
    "f1 (macro)",
    "",
    "  ",
    "a/../b",
    "/a",
    "a//b",
    "a/./b",
    "../a",
    ".",
    "..",
    "a\n",
    "💥",
    "\u202ea",
    "x" * 300,
    "漢" * 300,
    "<!--<script>",
    "value",
    "seconds",
    "best_value",
    "a:b",
    "a/b",
    "LR",
    "lr",
    "'x'",
    'x"y`z',
]


def test_a_real_store_distinguishes_every_name(mlflow_store) -> None:
    client = mlflow.MlflowClient(mlflow_store)
    run = client.create_run("0").info.run_id
    of_metrics, of_params = metric_keys(NAMES), keys(NAMES)
    metrics = [Metric(of_metrics[name], n, 0, 0) for n, name in enumerate(NAMES)]
    params = [Param(f"space.{of_params[name]}", str(n)) for n, name in enumerate(NAMES)]
    client.log_batch(run, metrics=metrics, params=params)
    data = client.get_run(run).data
    assert {of_metrics[name]: n for n, name in enumerate(NAMES)} == data.metrics
    kept = {name.removeprefix("space."): text for name, text in data.params.items()}
    assert by_name(kept, dict.fromkeys(NAMES)) == {n: str(i) for i, n in enumerate(NAMES)}


def test_keys_that_differ_only_in_capitals_or_accents_are_distinguished() -> None:
    names = ["LR", "lr", "Lr", "größe", "Große", "GRÖSSE", "e\u0301", "é", "E", "Value"]
    for found in (keys(names), metric_keys(names)):
        assert not twins([*found.values(), "value"]) - {"value"}
    assert keys(names)["LR"] == "LR"
    assert keys(["lr"]) == metric_keys(["lr"]) == {"lr": "lr"}


def test_metrics_of_an_objective_are_not_taken_for_ours() -> None:
    for name in ("value", "seconds", "fidelity", "best_value"):
        assert metric_key(name) not in (name, key(name))
    assert metric_key("recall") == "recall"
    assert key("a/b:c d.e-f_g") == "a/b:c d.e-f_g"


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_registered_under_a_name_made_fit(mlflow_store, name) -> None:
    found = model_name(None, name)
    validation._validate_model_name(found)
    validation._validate_experiment_name(experiment_name(None, name))
    client = mlflow.MlflowClient(mlflow_store)
    client.create_registered_model(found)
    assert [m.name for m in client.search_registered_models(f"name = '{found}'")] == [found]
    assert client.search_model_versions(f"name = '{found}'") == []


@pytest.mark.parametrize("asked", ["team/digits", "a:b", "a@b", "a%2Fb", "", " a", ".", "it's"])
def test_a_name_that_was_asked_for_is_refused(asked) -> None:
    with pytest.raises(SpecError, match="register_as is .*for example"):
        model_name(asked, "objective")


@pytest.mark.parametrize("asked", ["", " ", "a\nb", "\x1b[31m", "x" * 500, " a"])
def test_an_experiment_that_was_asked_for_is_refused(asked) -> None:
    with pytest.raises(SpecError, match="experiment is "):
        experiment_name(asked, "objective")


def test_names_that_fit_are_taken_as_they_are() -> None:
    for name in ("digits", "lstm-air-quality", "Größe 2.0", "model_x12345678"):
        assert model_name(name, "") == model_name(None, name) == name
    for name in ("/Users/me/study", "a/b", "Prüfung: 1 (neu)"):
        assert experiment_name(name, "") == name
