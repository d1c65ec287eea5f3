"""The champion of a model predicts for the rows of a file, at a command or on a schedule."""

import json
import shlex
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature
from mlflow.models.utils import _enforce_schema
from mlflow.types.schema import ColSpec, Schema
from sklearn.linear_model import LinearRegression

from flows.command_line import RUN_FAILED, USAGE_ERROR, joined_app, run
from flows.predict import predict
from tasks.models.predictions import ServedModel, read_rows
from tasks.models.registry import Promotion, Registry
from tasks.store.client import client

ROWS = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0]})


@pytest.fixture
def champion(mlflow_store: str) -> Registry:
    """A model that answers with a + 2 b, promoted."""
    fitted = LinearRegression().fit(ROWS, ROWS["a"] + 2 * ROWS["b"])
    mlflow.set_tracking_uri(mlflow_store)
    with mlflow.start_run() as active:
        mlflow.sklearn.save_model(
            fitted,
            "model",
            signature=infer_signature(ROWS, fitted.predict(ROWS)),
            pip_requirements=[],  # Inferring them takes seconds.
        )
        client(mlflow_store).log_artifacts(active.info.run_id, "model", "model")
    address = f"runs:/{active.info.run_id}/model"
    registry = Registry(mlflow_store, "sums")
    run_id = active.info.run_id
    registry.promote(Promotion(address, {}, 0.0, "first", "new", "", "", run_id, {}))
    return registry


def command(line: str) -> int:
    return run(joined_app(), ["predict", *shlex.split(line)])


def test_the_champion_predicts_and_it_is_recorded(
    prefect_server, champion: Registry, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"b": [5, 0], "note": ["x", "y"], "a": [1, 10]}).to_csv("new.csv", index=False)
    found = predict("sums", rows="new.csv")
    assert (found.version, found.n_rows, found.n_predictions) == ("1", 2, 2)
    written = pd.read_csv(found.path)
    assert written["prediction"].tolist() == pytest.approx([11.0, 10.0])
    recorded = mlflow.get_run(found.run_id)
    assert recorded.data.tags["predicts"] == "sums"
    assert recorded.data.tags["version"] == "1"
    assert recorded.data.metrics["mean"] == pytest.approx(10.5)
    table = json.loads(mlflow.artifacts.load_text(f"runs:/{found.run_id}/predictions.json"))
    assert len(table["data"]) == 2


def test_a_file_is_read_as_that_of_the_training_units_and_decimal_commas_too(
    prefect_server, champion: Registry, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("new.csv").write_text("a;b;note\nm;%;\n1,5;0;x\n\n1.002,5;1;y\n")
    found = predict("sums", rows="new.csv")
    assert pd.read_csv(found.path)["prediction"].tolist() == pytest.approx([1.5, 1004.5])


def test_a_prediction_in_a_small_unit_is_recorded_to_all_of_its_digits(
    prefect_server, champion: Registry, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dust = 2.3456e-8  # kg/m³
    Path("new.csv").write_text(f"a,b\n{dust},0\n")
    found = predict("sums", rows="new.csv")
    table = json.loads(mlflow.artifacts.load_text(f"runs:/{found.run_id}/predictions.json"))
    assert table["data"][0][-1] == pytest.approx(dust, rel=1e-5)


def test_switches_and_a_wind_vane_that_fell_silent_come_as_the_model_takes_them(
    tmp_path: Path,
) -> None:
    schema = Schema([ColSpec("double", "open"), ColSpec("string", "wind")])
    served = ServedModel("1", None, {c.name: c.type for c in schema.inputs})
    path = tmp_path / "new.csv"
    path.write_text("open,wind,note\nTrue,,x\nFalse,,y\n")
    rows = _enforce_schema(read_rows(path, served, []), schema)
    assert rows["open"].tolist() == [1.0, 0.0]
    assert rows["wind"].isna().all()


def test_codes_that_are_all_numbers_this_time_stay_the_text_that_the_model_was_trained_on(
    tmp_path: Path,
) -> None:
    schema = Schema([ColSpec("double", "self"), ColSpec("string", "sector")])
    served = ServedModel("1", None, {c.name: c.type for c in schema.inputs})
    path = tmp_path / "new.csv"
    path.write_text("self,sector\n5 kg,7\n6 kg,\n8 kg,1.50\n")
    rows = _enforce_schema(read_rows(path, served, []), schema)
    assert rows["self"].tolist() == [5.0, 6.0, 8.0]
    assert rows["sector"].dropna().tolist() == ["7", "1.50"]


@pytest.mark.parametrize(
    ("line", "content", "code", "message"),
    [
        ("sums --rows none.csv", "", USAGE_ERROR, "rows is 'none.csv'; there is no such file"),
        ("sums --rows new.csv", "a,c\n1,2\n", RUN_FAILED, "has no column 'b', which version 1"),
        ("sums --rows new.csv", "a,b\n1,x\n", RUN_FAILED, "version 1 cannot predict these rows"),
        ("other --rows new.csv", "a,b\n1,2\n", USAGE_ERROR, "error: model 'other' is not regis"),
    ],
)
def test_what_cannot_be_predicted_is_said_in_one_line(
    prefect_server, champion, tmp_path: Path, monkeypatch, capfd, line, content, code, message
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("new.csv").write_text(content)
    assert command(line) == code
    assert message in " ".join(capfd.readouterr().err.split())
