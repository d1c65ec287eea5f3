"""The paper's scenarios as studies: each leaves figures, and networks a model that loads."""

import json
from inspect import signature

import mlflow
import numpy as np
import pytest

from flows.display.summary_text import as_text
from flows.tune import tune
from flows.tune_plan import TuneOptions, prepare
from llmpso.errors import LLMPSOError


@pytest.fixture
def photographs(tmp_path):
    """A hundred small images of two kinds, bright and dark."""
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 2
    pixels = rng.integers(0, 156, (100, 12, 12, 3)) + 100 * labels[:, None, None, None]
    path = tmp_path / "photographs.npz"
    np.savez(
        path,
        images=pixels.astype(np.uint8),
        labels=labels,
        class_names=np.array(["dark", "bright"]),
    )
    return path


def test_images_of_ones_own_are_tuned_and_the_model_loads(
    prefect_server, mlflow_store, photographs
):
    summary = tune("cnn", images=str(photographs), method="pso", evaluations=6, space="wide")
    assert (summary.objective, summary.failed) == ("cnn-photographs", 0)
    assert summary.best_value < 0.2
    assert summary.baselines["majority class"]["test_accuracy"] == 0.5
    assert "linear: validation_accuracy" in as_text(summary)
    model = mlflow.pyfunc.load_model(f"models:/{summary.model}")
    images = np.load(photographs)["images"]
    named = model.predict(images).idxmax(axis=1)
    assert np.mean(named == np.array(["dark", "bright"])[np.arange(100) % 2]) > 0.7
    runs = mlflow.search_runs(search_all_experiments=True)
    children = runs[runs["tags.mlflow.parentRunId"].notna()]
    for run_id in children["run_id"]:
        confusion = json.loads(mlflow.artifacts.load_text(f"runs:/{run_id}/confusion.json"))
        assert confusion["classes"] == ["bright", "dark"]
        assert np.sum(confusion["test"]) == 20


@pytest.mark.parametrize(
    ("name", "described"), [("rastrigin", "simulation"), ("plain-rastrigin", "rastrigin")]
)
def test_rastrigin_is_searched_under_the_name_asked_for(
    prefect_server, mlflow_store, name, described
):
    summary = tune(name, dims=3, method="guided", advisor="none", evaluations=20)
    assert summary.objective.startswith(described)
    assert set(summary.best_params) == {"x1", "x2", "x3"}
    assert summary.model == ""
    assert 0 < summary.best_value < 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "rastrigin", "images": "a"}, "images is 'a', an option of cnn; objective"),
        ({"objective": "cnn", "images": "no"}, "images 'no' does not exist; check the path"),
    ],
)
def test_a_mistake_is_refused_before_anything_runs(mlflow_store, change, message):
    defaults = {name: p.default for name, p in signature(tune.fn).parameters.items()}
    with pytest.raises(LLMPSOError, match=message):
        prepare(TuneOptions(**(defaults | {"advisor": "none"} | change)))
