"""Drift is found where there is some, and hardly ever where there is none.

Error rate: 0.05 over all columns by the test's level; the index makes it smaller.
"""

import json

import numpy as np
import pandas as pd
import pytest

from llmpso.errors import DataError
from llmpso.retuning.drift import (
    Reference,
    check_schema,
    describe,
    effective_size,
    find_drift,
    n_rows_since,
    named_label,
)


def series(n: int, rng: np.random.Generator, memory: float = 0.8) -> np.ndarray:
    """Correlated values, as measurements over time are."""
    values, noise = np.zeros(n), rng.standard_normal(n) * np.sqrt(1 - memory**2)
    for i in range(1, n):
        values[i] = memory * values[i - 1] + noise[i]
    return values


def table(rng: np.random.Generator, n: int = 3000) -> pd.DataFrame:
    frame = pd.DataFrame({f"c{i}": series(n, rng) for i in range(5)})
    frame["wind"] = np.where(series(n, rng) > 0, "N", "S")
    frame["rain"] = (series(n, rng) > 1.2).astype(float)
    frame.index = pd.date_range("2024-01-01", periods=n, freq="h")
    return frame


def halves(frame: pd.DataFrame) -> tuple[Reference, pd.DataFrame]:
    return Reference.of(frame.iloc[:2400], "2024-04-09T23:00:00"), frame.iloc[2400:]


def test_correlated_columns_that_do_not_drift_are_let_pass() -> None:
    rng = np.random.default_rng(0)
    alarms = sum(
        any(column.has_drifted for column in find_drift(*halves(table(rng)))) for _ in range(40)
    )
    assert alarms <= 4


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("c0", lambda part: part + 1.5),
        ("c0", lambda part: part * 4),
        ("rain", lambda part: 1.0 - part),
        ("wind", lambda part: "N"),
        ("wind", lambda part: "a level never seen"),
    ],
)
def test_a_column_that_drifts_is_named(column: str, change) -> None:
    rng, found = np.random.default_rng(1), 0
    for _ in range(10):
        frame = table(rng)
        frame.loc[frame.index[2400:], column] = change(frame[column].iloc[2400:])
        drift = find_drift(*halves(frame))
        assert drift[0].column == column
        found += drift[0].has_drifted
    assert found >= 9
    assert f"columns drifted (index above 0.25): {column}" in describe(drift)


def test_a_change_of_the_whole_range_is_drift_however_few_the_rows() -> None:
    hours = np.arange(8760)
    frame = pd.DataFrame({"pressure": 1000 + 20 * np.cos(2 * np.pi * hours / 8760)})
    reference = Reference.of(frame.iloc[:7000], "7000")
    (season,) = find_drift(reference, frame.iloc[7000:])
    assert season.psi > 0.25
    assert not season.has_drifted
    (broken,) = find_drift(reference, frame.iloc[7000:] + 400)
    assert broken.has_drifted


def test_a_year_without_a_dry_hour_is_drift_of_rain_that_hardly_ever_fell() -> None:
    rng = np.random.default_rng(6)
    frame = table(rng).assign(rain=lambda f: (f["c0"] - 1.4).clip(lower=0))
    assert (frame["rain"] == 0).mean() > 0.9
    assert not any(column.has_drifted for column in find_drift(*halves(frame)))
    frame.loc[frame.index[2400:], "rain"] = rng.uniform(0.1, 1.0, 600)
    (rain,) = [column for column in find_drift(*halves(frame)) if column.has_drifted]
    assert rain.column == "rain"


def test_a_valve_that_was_always_open_and_now_moves_has_drifted() -> None:
    opened = pd.DataFrame({"valve": np.full(2000, 0.5)})
    reference = Reference.of(opened, "2000")
    assert not find_drift(reference, opened)[0].has_drifted
    for moved in (0.2, 0.8):
        assert find_drift(reference, opened.assign(valve=moved))[0].has_drifted


def test_a_sensor_that_fell_silent_has_drifted_but_not_one_that_hardly_ever_spoke() -> None:
    frame = table(np.random.default_rng(7)).assign(seldom=np.nan)
    frame.loc[frame.index[:2400:200], "seldom"] = np.arange(12.0)
    frame.loc[frame.index[2400:], ["c1", "wind"]] = [np.nan, None]
    drifted = [column.column for column in find_drift(*halves(frame)) if column.has_drifted]
    assert sorted(drifted) == ["c1", "wind"]


def test_a_reference_survives_json_and_holds_no_rows() -> None:
    reference, new = halves(table(np.random.default_rng(2)))
    text = json.dumps(reference.to_json())
    again = Reference.from_json(json.loads(text))
    assert find_drift(again, new) == find_drift(reference, new)
    assert max(len(column.quantiles) for column in again.columns.values()) == 101


def test_a_changed_schema_is_refused_with_all_that_changed() -> None:
    reference, new = halves(table(np.random.default_rng(3)))
    changed = new.drop(columns="c1").assign(c2=lambda frame: frame["c2"].astype(str), more=1.0)
    with pytest.raises(DataError) as caught:
        check_schema(reference, changed)
    assert "column 'c1' is gone, or does not vary any more" in str(caught.value)
    assert "column 'c2' held numbers and now holds text" in str(caught.value)


def test_new_rows_are_counted_by_time_or_by_number() -> None:
    frame = table(np.random.default_rng(4), 100)
    assert n_rows_since(frame, frame.index[89].isoformat()) == 10
    assert n_rows_since(frame.reset_index(drop=True), "90") == 10
    assert n_rows_since(frame.reset_index(drop=True), "120") == 0
    with pytest.raises(DataError, match="had no times, and now it has times"):
        n_rows_since(frame, "90")
    with pytest.raises(DataError, match="had times, and now it has no times"):
        n_rows_since(frame.reset_index(drop=True), frame.index[89].isoformat())


def test_the_last_row_is_named_by_its_time_or_by_its_number() -> None:
    assert named_label("2600") == "row 2,600"
    assert named_label("2026-11-28T00:00:00") == "2026-11-28T00:00:00"


def test_new_rows_are_not_counted_by_times_of_which_only_some_have_a_zone() -> None:
    plain = table(np.random.default_rng(4), 100)
    zoned = plain.tz_localize("UTC")
    until = plain.index[89].isoformat()
    assert n_rows_since(zoned.tz_convert("Asia/Tokyo"), zoned.index[89].isoformat()) == 10
    with pytest.raises(DataError, match="had times, and now it has times with a time zone: read"):
        n_rows_since(zoned, until)
    with pytest.raises(DataError, match="had times with a time zone, and now it has times: read"):
        n_rows_since(plain, zoned.index[89].isoformat())


def test_correlated_values_count_for_less() -> None:
    rng = np.random.default_rng(5)
    assert effective_size(rng.standard_normal(5000)) > 2500
    # An autoregression with memory m is worth (1 - m) / (1 + m) of its length: 1/9 here.
    assert 400 < effective_size(series(5000, rng)) < 700
    assert effective_size(np.ones(10)) == 10
