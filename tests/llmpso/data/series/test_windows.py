import logging

import numpy as np
import pandas as pd
import pytest

from llmpso.data.series.air_quality import load_taiwan
from llmpso.data.series.input_encoder import InputEncoder
from llmpso.data.series.time_series import TimeSeries
from llmpso.data.series.windows import make_windows, split_rows
from llmpso.errors import DataError

N_ROWS = 200


def series(frame, features=("other",), **fields):
    fixed = {"name": "some", "description": "numbers", "source": "a test", "unit": "points"}
    return TimeSeries(frame=frame, target="value", features=features, **fixed, **fields)


@pytest.fixture
def frame():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(N_ROWS, 2)) + [10.0, -3.0]
    return pd.DataFrame(values, columns=["value", "other"])


def parts(windows):
    return {"train": windows.train, "validation": windows.validation, "test": windows.test}


def test_split_is_60_20_20_in_order():
    train, validation, test = split_rows(N_ROWS)
    assert (train.start, train.stop, validation.stop, test.stop) == (0, 120, 160, 200)
    assert (validation.start, test.start) == (120, 160)


def test_no_window_crosses_a_split(frame):
    window, horizon = 5, 3
    windows = make_windows(series(frame), window=window, horizon=horizon)
    for part, rows in zip(parts(windows).values(), split_rows(N_ROWS), strict=True):
        assert part.ends.min() - window + 1 == rows.start
        assert part.ends.max() + horizon == rows.stop - 1
        assert len(part) == rows.stop - rows.start - window - horizon + 1


def test_targets_are_one_horizon_after_the_last_input(frame):
    windows = make_windows(series(frame), window=5, horizon=3)
    for part in parts(windows).values():
        assert (part.targets == frame["value"].to_numpy()[part.ends + 3]).all()
        assert (part.last == frame["value"].to_numpy()[part.ends]).all()


@pytest.mark.parametrize(
    "change",
    [lambda f: f * 1e-13, lambda f: f * 1e30, lambda f: f + 1e9],
    ids=["small", "large", "far"],
)
def test_measurements_are_seen_whatever_their_unit(frame, change):
    usual = make_windows(series(frame), window=5, horizon=3)
    other = make_windows(series(change(frame)), window=5, horizon=3)
    assert np.abs(usual.inputs[:120]).max(axis=0).min() > 1
    assert np.allclose(usual.inputs, other.inputs, atol=1e-5)


def test_what_differs_by_rounding_alone_is_not_seen(frame):
    odd = frame.assign(other=180.0, still=0.1)
    odd.loc[::2, "other"] = 360.0
    still = series(odd, ("other", "still"), angles=("other",))
    windows = make_windows(still, window=5, horizon=3)
    seen = dict(zip(windows.encoder.names, windows.encoder.factors, strict=True))
    assert seen["still"] == seen["other sin"] == 0
    assert seen["other cos"] > 0


def test_only_training_rows_decide_the_scale(frame):
    before = make_windows(series(frame), window=5, horizon=3)
    changed = frame.copy()
    changed.loc[120:] *= 1000
    after = make_windows(series(changed), window=5, horizon=3)
    assert before.encoder == after.encoder
    assert (before.inputs[:120] == after.inputs[:120]).all()
    train = before.inputs[:120].astype(float)
    assert train.mean(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert train.std(axis=0) == pytest.approx([1, 1], abs=1e-6)


def test_gaps_take_the_past_never_the_future(frame):
    frame.loc[[0, 1, 50, 51, 120, 121], "other"] = np.nan
    inputs = make_windows(series(frame), window=5, horizon=3).inputs[:, 1]
    assert inputs[:2] == pytest.approx([0, 0])  # the training mean: nothing came before
    assert inputs[50] == inputs[49] == inputs[51]
    # The first rows of validation may not look back into training.
    assert inputs[120:122] == pytest.approx([0, 0])


@pytest.mark.parametrize("row", [60, 119, 120, 140, 199])
def test_inputs_do_not_depend_on_later_rows(row):
    base = load_taiwan()
    frame = base.frame.iloc[:N_ROWS].copy()
    encoder = InputEncoder.fit(base, 120)
    changed = frame.copy()
    changed.iloc[row:] = 99.0
    assert (encoder.apply(frame)[:row] == encoder.apply(changed)[:row]).all()


def test_windows_without_target_are_left_out_and_counted(frame, caplog):
    caplog.set_level(logging.INFO)
    frame.loc[[30, 90], "value"] = np.nan
    windows = make_windows(series(frame), window=5, horizon=3)
    assert not {27, 87} & set(windows.train.ends.tolist())
    assert len(windows.train) == 120 - 5 - 3 + 1 - 2
    assert windows.train.last[windows.train.ends.tolist().index(30)] == frame["value"][29]
    assert "2 of 179 windows are left out: 'value' is missing there" in caplog.text


def test_windows_in_which_the_target_was_never_seen_are_left_out(frame):
    frame.loc[40:49, "value"] = np.nan
    ends = set(make_windows(series(frame), window=5, horizon=1).train.ends.tolist())
    # The window that ends at row 49 is all gaps, although row 50 is known.
    assert 49 not in ends
    assert 50 in ends
    assert {39, 48} & ends == set()


def test_an_input_without_variation_in_training_is_silent(frame):
    frame["other"] = 1.0
    frame.loc[150:, "other"] = 1e6
    windows = make_windows(series(frame), window=5, horizon=3)
    assert (windows.inputs[:, 1] == 0).all()


def test_an_input_first_measured_after_training_is_silent(frame):
    frame.loc[:130, "other"] = np.nan
    assert (make_windows(series(frame), window=5, horizon=3).inputs[:, 1] == 0).all()


def test_text_angles_and_hours_become_numbers(frame):
    frame = frame.set_axis(pd.date_range("2020-01-01", periods=N_ROWS, freq="h"), axis=0)
    frame["wind"] = [0.0, 90.0, 180.0, 270.0] * 50
    frame["sky"] = ["grey", "blue", None, "blue"] * 50
    data = series(frame, ("other", "wind", "sky"), angles=("wind",))
    encoder = InputEncoder.fit(data, 120)
    assert encoder.names == (
        *("value", "other", "wind sin", "wind cos", "time of day sin", "time of day cos"),
        *("sky = blue", "sky = grey"),
    )
    assert encoder.columns == ("value", "other", "wind", "sky")
    scaled = encoder.apply(frame)
    raw = scaled / encoder.factors + encoder.means
    assert raw[:4, 2] == pytest.approx([0, 1, 0, -1], abs=1e-6)
    assert raw[:4, 3] == pytest.approx([1, 0, -1, 0], abs=1e-6)
    assert raw[6, 4:6] == pytest.approx([1, 0], abs=1e-6)
    assert raw[:4, 6] == pytest.approx([0, 1, 1, 1], abs=1e-6)  # a gap keeps the last sky
    assert raw[:4, 7] == pytest.approx([1, 0, 0, 0], abs=1e-6)


def test_daily_series_have_no_hours(frame):
    frame = frame.set_axis(pd.date_range("2020-01-01", periods=N_ROWS, freq="D"), axis=0)
    assert InputEncoder.fit(series(frame), 120).names == ("value", "other")


def test_validation_windows_are_thinned_evenly(frame):
    windows = make_windows(series(frame), window=5, horizon=3, max_validation=10)
    assert np.diff(windows.validation.ends).tolist() == [4] * (len(windows.validation) - 1)
    assert len(windows.validation) <= 10
    assert len(windows.test) == 33


@pytest.mark.parametrize(
    ("window", "horizon", "message"),
    [
        (0, 1, "window is 0; it must be at least 1 row"),
        (5, 0, "horizon is 0; it must be at least 1 row ahead"),
        (5, 200, "horizon is 200; it must be less than the 200 rows"),
        (30, 6, "200 rows, 40 of them for validation; .* give at least 225 rows"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(frame, window, horizon, message):
    with pytest.raises(DataError, match=message):
        make_windows(series(frame), window=window, horizon=horizon)


def test_a_row_more_than_the_message_asks_for_is_enough(frame):
    longer = pd.concat([frame, frame.iloc[:25]], ignore_index=True)
    assert len(make_windows(series(longer), window=30, horizon=6).validation) == 10


def test_a_part_without_targets_is_refused(frame):
    frame.loc[160:, "value"] = np.nan
    with pytest.raises(DataError, match=r"the test part \(rows 160 to 199\) has 0 windows"):
        make_windows(series(frame), window=5, horizon=3)


def test_a_target_constant_in_training_is_refused(frame):
    frame.loc[:119, "value"] = 4.0
    with pytest.raises(DataError, match="always 4 in the training part"):
        make_windows(series(frame), window=5, horizon=3)
