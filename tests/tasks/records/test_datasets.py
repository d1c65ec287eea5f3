"""What MLflow is told of a study's data: its identity, no row of it, and no secret."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest

from llmpso.data.images.image_set import ImageSet, LabelledImages
from llmpso.data.series.air_quality import load_taiwan
from llmpso.errors import SpecError
from llmpso.objectives.cnn import CNNObjective
from llmpso.objectives.dataset import Dataset
from llmpso.objectives.lstm import LSTMObjective
from llmpso.user_code.calls import UserCodeError
from tasks.records.datasets import dataset_of


class Described:
    """An objective with nothing but its data."""

    def __init__(self, data) -> None:
        self.data = data

    def describe_data(self):
        return self.data() if callable(self.data) else self.data


def test_a_series_has_its_columns_and_its_split() -> None:
    found = dataset_of(LSTMObjective(load_taiwan(), max_epochs=1, device="cpu"))
    assert (found.name, len(found.digest)) == ("air-quality", 36)
    assert "AeroViz" in json.loads(found.source)["uri"]
    profile = json.loads(found.profile)
    assert profile["num_rows"] == sum(profile["split"].values())
    assert set(profile["split"]) == {"training", "validation", "test"}
    columns = json.loads(found.schema)["mlflow_colspec"]
    assert {"name": "AQI", "type": "double", "required": True} in columns


def test_images_have_their_shape() -> None:
    part = LabelledImages(
        np.arange(2 * 64, dtype=np.uint8).reshape(2, 8, 8, 1), np.array([0, 1], dtype=np.int64)
    )
    images = ImageSet(part, part, part, ("a", "b"), "squares", "Squares.", "drawn")
    found = dataset_of(CNNObjective(images, device="cpu"))
    assert json.loads(found.profile) == {
        "num_rows": 6,
        "split": {"training": 2, "validation": 2, "test": 2},
    }
    assert "[-1, 8, 8, 1]" in found.schema
    assert "uint8" in found.schema


@pytest.mark.parametrize(
    ("source", "kind", "shown"),
    [
        ("https://me:hunter22@host/data.csv?token=s3cr3t9", "http", "https://host/data.csv"),
        ("s3://bucket/data.csv", "s3", "s3://bucket/data.csv"),
        ("postgresql://me:hunter22@db/rows", "external", "postgresql://db/rows"),
        ("measured in 2024", "external", "measured in 2024"),
    ],
)
def test_a_source_is_shown_without_its_secrets(source: str, kind: str, shown: str) -> None:
    found = dataset_of(Described(Dataset("rows", source, "d1", 3, {"at": "datetime64[ns]"})))
    assert (found.source_type, list(json.loads(found.source).values())) == (kind, [shown])
    assert '"datetime"' in found.schema


def test_a_file_is_shown_by_its_whole_path(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").touch()
    found = dataset_of(Described(Dataset("rows", "rows.csv", "d1", 3)))
    assert (found.source_type, found.schema) == ("local", None)
    assert json.loads(found.source) == {"uri": str(tmp_path / "rows.csv")}


def test_a_data_set_of_mlflows_is_taken_as_it_is_but_for_its_secrets() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    source = "https://me:hunter22@host/data.csv?token=s3cr3t9"
    found = dataset_of(Described(lambda: mlflow.data.from_pandas(frame, source, name="mine")))
    assert (found.name, json.loads(found.profile)["num_rows"]) == ("mine", 2)
    assert "host/data.csv" in found.source
    assert "hunter22" not in found.source
    assert "s3cr3t9" not in found.source


def test_what_is_no_data_set_is_refused() -> None:
    assert dataset_of(object()) is None
    assert dataset_of(Described(None)) is None
    with pytest.raises(SpecError, match="describe_data returned a DataFrame; it must return"):
        dataset_of(Described(pd.DataFrame()))
    with pytest.raises(UserCodeError, match="ZeroDivisionError: division by zero"):
        dataset_of(Described(lambda: 1 / 0))
    with pytest.raises(SpecError, match="digest of a data set is empty"):
        Dataset("rows", "here", "", 3)
    with pytest.raises(SpecError, match="n_rows of data set 'rows' is -1"):
        Dataset("rows", "here", "d1", -1)
