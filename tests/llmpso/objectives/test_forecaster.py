import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from llmpso.data.series.air_quality import load_taiwan
from llmpso.data.series.time_series import TimeSeries
from llmpso.errors import DataError
from llmpso.objectives.base import SavableModel
from llmpso.objectives.forecaster import Forecaster, _load_pyfunc
from llmpso.objectives.lstm import LSTMObjective

PARAMS = {"layers": 2, "hidden_units": 8, "learning_rate": 0.01, "dropout": 0.2}


def trained(series, horizon=6):
    objective = LSTMObjective(series, horizon=horizon, window=12, max_epochs=2, device="cpu")
    return objective.evaluate(PARAMS, fidelity=1.0, seed=0).model


@pytest.fixture(scope="module")
def taiwan():
    return load_taiwan()


@pytest.fixture(scope="module")
def model(taiwan):
    return trained(taiwan)


@pytest.fixture(scope="module")
def windy():
    """Rows without time, one column of them text."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"value": generator.normal(size=200), "wind": ["N", "S", None, "E"] * 50})
    return TimeSeries(frame, "value", ("wind",), "windy", "numbers", "a test", "points")


def test_it_is_a_savable_model(model):
    assert isinstance(model, SavableModel)
    assert model.loader_module == "llmpso.objectives.forecaster"


def test_a_loaded_model_predicts_the_same_bits(model, taiwan, tmp_path):
    model.save(tmp_path)
    expected = model.predict(taiwan.frame)
    for loaded in (Forecaster.load(tmp_path), _load_pyfunc(str(tmp_path))):
        pd.testing.assert_series_equal(loaded.predict(taiwan.frame), expected, check_exact=True)
        assert loaded.encoder == model.encoder


def test_text_columns_survive_the_disk(windy, tmp_path):
    model = trained(windy, horizon=1)
    model.save(tmp_path)
    loaded = Forecaster.load(tmp_path)
    pd.testing.assert_series_equal(
        loaded.predict(windy.frame), model.predict(windy.frame), check_exact=True
    )
    assert loaded.encoder.names == ("value", "wind = E", "wind = N", "wind = S")


def test_no_object_is_pickled(model, tmp_path):
    model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "weights.pt"]
    weights = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert all(isinstance(tensor, torch.Tensor) for tensor in weights.values())
    content = json.loads((tmp_path / "model.json").read_text())
    assert content["architecture"]["hidden_units"] == 8
    assert content["unit"] == "AQI points"


def test_a_process_pool_could_send_it(model, taiwan):
    twin = pickle.loads(pickle.dumps(model))
    assert (twin.predict(taiwan.frame) == model.predict(taiwan.frame)).all()


def test_one_forecast_per_row_from_the_first_full_window(model, taiwan):
    forecasts = model.predict(taiwan.frame.iloc[:50])
    assert forecasts.index.tolist() == taiwan.frame.index[11:50].tolist()
    assert forecasts.name == "AQI +6"
    assert forecasts.between(-100, 400).all()


def test_forecasts_do_not_look_ahead(model, taiwan):
    changed = taiwan.frame.iloc[:60].copy()
    changed.iloc[40:] = 150.0
    before, after = model.predict(taiwan.frame.iloc[:60]), model.predict(changed)
    assert before.iloc[: 40 - 11].to_numpy() == pytest.approx(after.iloc[: 40 - 11].to_numpy())
    assert not np.allclose(before.iloc[40 - 11 :], after.iloc[40 - 11 :])


def test_time_may_be_a_column_of_text(model, taiwan):
    rows = taiwan.frame.iloc[:30]
    as_text = rows.reset_index().astype({"Time": str})
    assert model.predict(as_text).tolist() == model.predict(rows).tolist()


def test_times_that_are_all_written_in_another_way_are_told_from_a_row_that_is_wrong(
    model, taiwan
):
    rows = taiwan.frame.iloc[:30]
    for written in ("%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M+01:00"):
        other = rows.reset_index().assign(Time=rows.index.strftime(written))
        with pytest.raises(DataError, match="model was trained on times, .*, none with a zone"):
            model.predict(other)
    one = rows.reset_index().astype({"Time": str})
    one.loc[4, "Time"] = "noon"
    with pytest.raises(DataError, match="is 'noon' in data row 5, .* correct or remove that row"):
        model.predict(one)


def test_rows_left_out_are_gaps(model, taiwan):
    rows = taiwan.frame.iloc[:30].copy()
    empty = rows.copy()
    empty.iloc[20] = np.nan
    assert model.predict(rows.drop(rows.index[20])).tolist() == model.predict(empty).tolist()


def test_example_is_made_up_and_fits(model, taiwan):
    assert model.example.columns.tolist()[0] == "Time"
    assert set(model.example.columns) == {"Time", *taiwan.frame.columns}
    assert len(model.predict(model.example)) == 1
    assert not set(model.example["AQI"]) & set(taiwan.frame["AQI"])


def test_example_without_time(windy):
    model = trained(windy, horizon=1)
    assert model.example.columns.tolist() == ["value", "wind"]
    assert len(model.predict(model.example)) == 1


def test_a_level_never_seen_is_taken(windy):
    frame = windy.frame.iloc[:20].assign(wind="W")
    assert trained(windy, horizon=1).predict(frame).notna().all()


def test_inputs_that_do_not_fit_are_refused(model, taiwan, tmp_path):
    rows = taiwan.frame.iloc[:30]
    with pytest.raises(DataError, match="the inputs have 11 rows; this model needs 12"):
        model.predict(rows.iloc[:11])
    with pytest.raises(DataError, match="the inputs have 0 rows"):
        model.predict(rows.iloc[:0])
    with pytest.raises(DataError, match="no column 'O3'"):
        model.predict(rows.drop(columns="O3"))
    with pytest.raises(DataError, match="column 'O3' must hold numbers"):
        model.predict(rows.assign(O3="much"))
    with pytest.raises(DataError, match="needs times"):
        model.predict(rows.reset_index(drop=True))
    with pytest.raises(DataError, match="the rows are not 0 days 01:00:00 apart"):
        model.predict(rows.set_axis(rows.index.where(rows.index != rows.index[3], rows.index[2])))
    with pytest.raises(DataError, match="holds no forecaster"):
        Forecaster.load(tmp_path)


def test_a_model_of_an_older_version_is_named(model, tmp_path):
    model.save(tmp_path)
    content = json.loads((tmp_path / "model.json").read_text())
    del content["times"]
    (tmp_path / "model.json").write_text(json.dumps(content | {"time_column": "Time"}))
    with pytest.raises(DataError, match="saved by an older version, which did not save how its"):
        Forecaster.load(tmp_path)


def test_the_format_of_the_times_survives_the_disk(model, tmp_path):
    model.save(tmp_path)
    assert Forecaster.load(tmp_path).times == model.times
    assert model.untyped == ("Time",)
