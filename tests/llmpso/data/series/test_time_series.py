import logging

import numpy as np
import pandas as pd
import pytest

from llmpso.data.series.load_csv import load_csv
from llmpso.data.series.time_series import TimeSeries
from llmpso.errors import DataError

VALUES = [3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.0, 6.0] * 5


@pytest.fixture
def csv(tmp_path):
    def write(table, name="some.csv"):
        path = tmp_path / name
        path.write_text(table) if isinstance(table, str) else table.to_csv(path, index=False)
        return path

    return write


def table(**columns):
    return pd.DataFrame({"value": VALUES, **columns})


def series(**changes):
    fields = {
        "frame": table(other=np.sqrt(np.arange(40.0))),
        "target": "value",
        "features": ("other",),
        "name": "some",
        "description": "numbers",
        "source": "a test",
        "unit": "points",
    }
    return TimeSeries(**(fields | changes))


DAYS = pd.date_range("2020-01-20", periods=40, freq="D")


@pytest.mark.parametrize("layout", ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y 00:00"])
def test_dates_are_found_in_any_order(csv, layout):
    shuffled = table(day=DAYS.strftime(layout)).sample(frac=1, random_state=1)
    loaded = load_csv(csv(shuffled), "value")
    assert loaded.frame.index.tolist() == DAYS.tolist()
    assert loaded.frame["value"].tolist() == VALUES
    assert loaded.features == ()


def test_year_month_day_hour_make_the_time(csv):
    times = pd.date_range("2020-02-28", periods=40, freq="h")
    parts = {part: getattr(times, part) for part in ("year", "month", "day", "hour")}
    loaded = load_csv(csv(table(**parts, wind=VALUES[::-1])), "value")
    assert loaded.step == pd.Timedelta(hours=1)
    assert loaded.frame.index[-1] == times[-1]
    assert loaded.features == ("wind",)


def test_times_with_zone_become_utc(csv):
    stamps = [f"{day:%Y-%m-%d}T00:30:00+01:00" for day in DAYS]
    assert load_csv(csv(table(at=stamps)), "value").frame.index[0] == pd.Timestamp(
        "2020-01-19 23:30"
    )


def test_rows_left_out_become_gaps(csv):
    loaded = load_csv(csv(table(day=DAYS).drop(index=[7, 8])), "value")
    assert len(loaded.frame) == 40
    assert loaded.frame["value"].isna().to_numpy().nonzero()[0].tolist() == [7, 8]


def test_uneven_times_count_as_rows(csv, caplog):
    months = pd.date_range("2020-01-01", periods=40, freq="MS")
    loaded = load_csv(csv(table(month_start=months)), "value")
    assert loaded.step is None
    assert len(loaded.frame) == 40
    assert "times are uneven" in caplog.text


def test_without_time_rows_are_counted(csv):
    loaded = load_csv(csv(table(other=VALUES[::-1])), "value")
    assert isinstance(loaded.frame.index, pd.RangeIndex)


def test_useless_columns_are_left_out_and_named(csv, caplog):
    caplog.set_level(logging.INFO)
    columns = {
        "No": range(1, 41),
        "site": "north",
        "note": [f"text {i}" for i in range(40)],
        "blank": None,
        "wind": ["N", "S"] * 20,
    }
    loaded = load_csv(csv(table(**columns)), "value")
    assert loaded.features == ("wind",)
    assert "'No' is left out: it merely counts rows" in caplog.text
    assert "'site' is left out: it never changes" in caplog.text
    assert "'note' is left out: it is text with 40 different values" in caplog.text
    assert "'blank' is left out: it is empty" in caplog.text


def test_where_selects_one_of_several_series(csv):
    both = pd.concat([table(day=DAYS, city="A"), table(day=DAYS, city="B")])
    loaded = load_csv(csv(both), "value", where={"city": "B"})
    assert len(loaded.frame) == 40
    assert "city = B" in loaded.description


def gappy(share):
    frame = table(other=VALUES[::-1])
    frame.loc[: round(share * 40) - 1, "value"] = np.nan
    return frame


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, r"some.csv' is no CSV table \(No columns to parse from file\)"),
        ("value,other\n", {}, "some.csv' has no rows below its header"),
        ("value;other\n1;2\n", {}, "target 'value' is always 1; there is nothing to learn"),
        ('value\n"1\n', {}, "some.csv' is no CSV table"),
        (table(), {"target": "valeu"}, "no column 'valeu'; did you mean 'value'?"),
        (table(), {"target": "zzz"}, "no column 'zzz'; known: value"),
        (table(t=["a", "b"] * 20), {"target": "t"}, "target 't' holds 'a', which is no number"),
        (table(t=7.0), {"target": "t"}, "target 't' is always 7.0; there is nothing to learn"),
        (table(t=None), {"target": "t"}, "target 't' is always empty"),
        (
            gappy(0.2),
            {},
            r"'value' lacks 8 of 40 values \(20.0%\), more than max_missing=0.1; .*0.2,",
        ),
        (table(day=["2020-01-01"] * 40), {}, r"holds 2020-01-01 00:00:00 more than once \(39"),
        (table(day=["2020-01-01"] * 39 + ["?"]), {}, r"time 'day' is '\?' in data row 40"),
        (table(o=[np.inf, *VALUES[1:]]), {}, "column 'o' holds 1 infinite values"),
        (table(c="A"), {"where": {"c": "B"}}, "c='B', which no row has; known: A"),
        (table(city="A"), {"where": {"cty": "A"}}, "column 'cty'; did you mean 'city'?"),
    ],
)
def test_bad_files_are_refused_in_one_line(csv, content, options, message):
    with pytest.raises(DataError, match=message) as caught:
        load_csv(csv(content), **({"target": "value"} | options))
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere.csv' does not exist; check the path"):
        load_csv(tmp_path / "nowhere.csv", "value")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        load_csv(tmp_path, "value")


def test_max_missing_admits_gaps(csv):
    loaded = load_csv(csv(gappy(0.2)), "value", max_missing=0.2)
    assert loaded.frame["value"].isna().sum() == 8


def test_fingerprint_follows_the_content():
    frame = table(other=np.sqrt(np.arange(40.0)))
    assert series().fingerprint == series(name="another", source="elsewhere").fingerprint
    assert series().fingerprint != series(features=()).fingerprint
    changed = frame.assign(other=frame["other"].where(frame.index != 3))
    assert series().fingerprint != series(frame=changed).fingerprint
    later = frame.set_axis(DAYS, axis=0)
    assert series(frame=later).fingerprint != series().fingerprint
    text = [
        series(frame=frame.assign(other=levels)) for levels in (["a", "b"] * 20, ["a", "c"] * 20)
    ]
    assert text[0].fingerprint != text[1].fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": ("value",)}, "must name each column once, and not the target 'value'"),
        ({"features": ("oter",)}, "no column 'oter'; did you mean 'other'?"),
        ({"angles": ("value",)}, r"angles names \['value'\]"),
        (
            {"frame": table(other=1.0).set_axis(list("ab" * 20), axis=0)},
            "is a Index; it must hold",
        ),
        ({"frame": table(other=1.0).set_axis(DAYS[::-1], axis=0)}, "is not strictly increasing"),
    ],
)
def test_impossible_series_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        series(**changes)


def test_beijing(shared_data, caplog):
    caplog.set_level(logging.INFO)
    path = shared_data / "beijing_pm25" / "PRSA_data_2010.1.1-2014.12.31.csv"
    loaded = load_csv(path, "pm2.5")
    assert loaded.features == ("DEWP", "TEMP", "PRES", "cbwd", "Iws", "Is", "Ir")
    assert loaded.step == pd.Timedelta(hours=1)
    assert loaded.frame["pm2.5"].isna().sum() == 2067
    assert "column 'No' is left out" in caplog.text


def test_delhi_needs_its_filter(shared_data):
    path = shared_data / "india_city_day" / "city_day.csv"
    with pytest.raises(DataError, match="several series, select one with where"):
        load_csv(path, "AQI")
    with pytest.raises(DataError, match="City='Dehli', which no row has; did you mean 'Delhi'"):
        load_csv(path, "AQI", where={"City": "Dehli"})
    loaded = load_csv(path, "AQI", where={"City": "Delhi"})
    assert len(loaded.frame) == 2009
    assert loaded.frame["AQI"].notna().sum() == 1999
    assert "AQI_Bucket" in loaded.features
