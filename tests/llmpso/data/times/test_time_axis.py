"""Times are recognised as people write them, read in one way, and that way is kept."""

import numpy as np
import pandas as pd
import pytest

from llmpso.data.series.load_csv import load_csv
from llmpso.data.series.time_series import TimeSeries
from llmpso.data.tables.csv_table import CsvOptions
from llmpso.errors import DataError

N_ROWS = 400
HOURS = pd.date_range("2024-03-28", periods=N_ROWS, freq="h")
DAYS = pd.date_range("2023-01-01", periods=N_ROWS, freq="D")
LOAD = np.random.default_rng(0).normal(20, 5, N_ROWS).round(3)


@pytest.fixture
def load(tmp_path):
    """Writes a table and reads it as the product does."""

    def loaded(frame: pd.DataFrame, target: str = "load", **options: str) -> TimeSeries:
        frame.to_csv(tmp_path / "some.csv", index=False)
        return load_csv(tmp_path / "some.csv", target, options=CsvOptions(**options))

    return loaded


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame({**columns, "load": LOAD, "wind": LOAD[::-1]})


def seconds(times: pd.DatetimeIndex) -> pd.Index:
    return times.astype("datetime64[s]").astype("int64")


GERMAN = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"
FRENCH = "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc."


def in_words(times: pd.DatetimeIndex, pattern: str, months: str) -> list[str]:
    """Dates with the months as a language calls them."""
    names = months.split()
    return [time.strftime(pattern.replace("{}", names[time.month - 1])) for time in times]


WRITTEN = {
    "iso": (HOURS, lambda t: t.strftime("%Y-%m-%dT%H:%M:%S")),
    "a full stop and 24:00": (
        HOURS,
        lambda t: (
            (t - pd.Timedelta(minutes=1)).strftime("%d.%m.%Y ")
            + np.where(t.hour == 0, "24:00", t.strftime("%H:%M"))
        ),
    ),
    "day first": (HOURS, lambda t: t.strftime("%d/%m/%Y %H:%M")),
    "twelve hours": (HOURS, lambda t: t.strftime("%m/%d/%Y %I:%M %p")),
    "month names": (DAYS, lambda t: t.strftime("%d-%b-%Y")),
    "long month names": (DAYS, lambda t: t.strftime("%B %d, %Y")),
    "weekdays": (HOURS, lambda t: t.strftime("%a, %d %b %Y %H:%M:%S")),
    "two digits of the year": (DAYS, lambda t: t.strftime("%d.%m.%y")),
    "whole numbers": (DAYS, lambda t: t.strftime("%Y%m%d").astype(int)),
    "whole numbers to the minute": (HOURS, lambda t: t.strftime("%Y%m%d%H%M").astype(int)),
    "seconds": (HOURS, seconds),
    "milliseconds": (HOURS, lambda t: seconds(t) * 1000),
    "seconds with a fraction": (HOURS, lambda t: seconds(t) + 0.5),
    "days of a spreadsheet": (
        HOURS,
        lambda t: (t - pd.Timestamp("1899-12-30")) / pd.Timedelta("1D"),
    ),
    "utc": (HOURS, lambda t: t.strftime("%Y-%m-%d %H:%M UTC")),
    "hours alone": (HOURS, lambda t: t.strftime("%Y-%m-%d %H")),
    "an access log": (HOURS, lambda t: t.strftime("%d/%b/%Y:%H:%M:%S")),
    "full stops and o'clock": (HOURS, lambda t: t.strftime("%d.%m.%Y %H:%M Uhr")),
    "a clock of full stops": (HOURS, lambda t: t.strftime("%d.%m.%Y %H.%M")),
    "mail": (HOURS, lambda t: t.strftime("%a, %d %b %Y %H:%M:%S +0000")),
    "gmt and an offset": (HOURS, lambda t: t.strftime("%Y-%m-%d %H:%M GMT+00:00")),
    "from and to": (
        HOURS,
        lambda t: t.strftime("%d.%m.%Y %H:%M - ") + t.strftime("%d.%m.%Y %H:59"),
    ),
    "days of the year": (DAYS, lambda t: t.strftime("%Y%j").astype(int)),
    "months": (
        pd.date_range("1990-01-01", periods=N_ROWS, freq="MS"),
        lambda t: t.strftime("%Y%m").astype(int),
    ),
    "basic iso": (HOURS, lambda t: t.strftime("%Y%m%dT%H%M%SZ")),
    "German months": (
        DAYS,
        lambda t: in_words(t, "%d. {} %Y", GERMAN),
    ),
    "French months": (DAYS, lambda t: in_words(t, "%d {} %Y", FRENCH)),
    "French hours": (HOURS, lambda t: t.strftime("%d/%m/%Y %Hh%M")),
    "Chinese": (HOURS, lambda t: t.strftime("%Y年%m月%d日 %H:%M")),
    "Korean": (DAYS, lambda t: t.strftime("%Y. %m. %d.")),
}


@pytest.mark.parametrize("order", ["oldest first", "newest first", "shuffled"])
@pytest.mark.parametrize("way", WRITTEN)
def test_times_are_known_in_any_order(load, way, order):
    times, write = WRITTEN[way]
    frame = table(time=write(times))
    steps = {"oldest first": frame, "newest first": frame[::-1]}
    series = load(steps.get(order, frame.sample(frac=1, random_state=1)))
    fraction = pd.Timedelta(seconds=0.5 if way == "seconds with a fraction" else 0)
    assert (series.frame.index == times + fraction).all()
    assert series.frame["load"].tolist() == LOAD.tolist()
    assert series.features == ("wind",)


@pytest.mark.parametrize("way", WRITTEN)
def test_the_stored_format_reads_what_it_writes(load, way):
    times, write = WRITTEN[way]
    series = load(table(time=write(times)))
    kept = series.time_format
    assert kept is not None
    twin = type(kept).from_json(vars(kept))
    assert twin.read(kept.written(series.frame.index)).tolist() == series.frame.index.tolist()


@pytest.mark.parametrize("pattern", ["%Y%m%d %H%M", "%Y%m%dT%H%M"])
def test_compact_times_at_half_past_are_not_taken_for_minutes_and_seconds(load, pattern):
    times = HOURS + pd.Timedelta("30min")
    series = load(table(time=times.strftime(pattern)))
    assert (series.frame.index == times).all()


def test_iso_times_may_leave_out_fraction_and_clock(load):
    text = [f"{time}.250000" if time.hour % 3 else f"{time:%Y-%m-%d %H:%M}" for time in HOURS]
    text[0] = "2024-03-28"
    series = load(table(time=text))
    assert series.frame.index[1] == pd.Timestamp("2024-03-28 01:00:00.250000")
    assert series.frame.index[0] == HOURS[0]


@pytest.mark.parametrize(
    ("columns", "features"),
    [
        ({"Date": HOURS.strftime("%d/%m/%Y"), "Time": HOURS.strftime("%H:%M:%S")}, ()),
        ({"date": HOURS.strftime("%Y%m%d"), "hour": HOURS.hour}, ()),
        ({"date": HOURS.date, "time": HOURS.hour * 100}, ()),
        ({"date": (HOURS - pd.Timedelta("1h")).date, "hour": (HOURS.hour - 1) % 24 + 1}, ()),
        ({"day": HOURS.day, "month": HOURS.month, "year": HOURS.year, "hour": HOURS.hour}, ()),
        (
            {"shift": np.where(HOURS.hour < 12, "06:00-14:00", "14:00-22:00"), "t": HOURS},
            ("shift",),
        ),
        ({"sunrise": "06:30", "t": HOURS}, ()),
        ({"since": np.where(HOURS.hour < 12, "2019-01-01", "2020-01-01"), "t": HOURS}, ("since",)),
        ({"host": np.where(HOURS.hour < 12, "10.0.0.1", "10.0.0.2"), "t": HOURS}, ("host",)),
    ],
)
def test_the_columns_that_make_an_axis_are_taken(load, columns, features):
    series = load(table(**columns))
    assert (series.frame.index == HOURS).all()
    assert set(series.features) == {"wind", *features}


def test_a_column_that_counts_up_is_no_time(load):
    counter = 1_200_000_000 + np.cumsum(np.random.default_rng(1).integers(1, 9, N_ROWS))
    series = load(table(energy=counter))
    assert series.times is None
    assert "energy" in series.features


def test_time_names_the_column(load):
    frame = table(made=HOURS + pd.Timedelta(days=300), at=HOURS)
    assert load(frame).frame.index[0] == HOURS[0] + pd.Timedelta(days=300)
    assert load(frame, time="at").frame.index[0] == HOURS[0]
    split = table(d=HOURS.strftime("%d/%m/%Y"), c=HOURS.strftime("%H:%M"), at=HOURS)
    assert load(split, time="d+c").time_format.columns == ("d", "c")
    assert load(split, time="d").time_format.columns == ("d", "c")
    with pytest.raises(DataError, match="time names 'mad'; did you mean 'made'"):
        load(frame, time="mad")
    with pytest.raises(
        DataError, match=r"time 'wind' holds '?[\d.]+'?, which is not known as a time"
    ):
        load(frame, time="wind")


def test_without_a_time_the_order_of_the_file_is_said(load):
    series = load(table(timestamp=[f"tick {n * n}" for n in range(N_ROWS)]))
    assert any(
        "no column of times is found ('timestamp', with 'tick 0', is not known" in note
        and "order of the file" in note
        for note in series.notes
    )
    with pytest.raises(DataError, match="timezone is 'UTC', but no column of times is found"):
        load(table(), timezone="UTC")


def test_days_and_months_are_distinguished_by_all_rows(load):
    late = pd.date_range("2024-01-01", periods=N_ROWS, freq="h")  # the 13th comes late
    for pattern in ("%d/%m/%Y", "%m/%d/%Y"):
        series = load(table(time=late.strftime(f"{pattern} %H:%M")))
        assert (series.frame.index == late).all()
        assert series.time_format.pattern == pattern


def test_days_and_months_are_distinguished_by_the_steps_between_them(load):
    hours = pd.date_range("2024-03-01", periods=12 * 24, freq="h")  # no day above 12
    frame = table().iloc[: len(hours)].assign(time=hours.strftime("%d/%m/%Y %H:%M"))
    series = load(frame)
    assert (series.frame.index == hours).all()
    assert any("'01/03/2024' are read as %d/%m/%Y" in note for note in series.notes)
    assert load(frame, time_format="%d/%m/%Y %H:%M").frame.index[-1] == hours[-1]


def test_days_and_months_that_cannot_be_distinguished_are_refused(load):
    text = [
        f"{a:02}/{b:02}/2024 {h:02}:00" for a in range(1, 13) for b in range(1, 13) for h in (0, 9)
    ]
    frame = table().iloc[: len(text)].assign(time=text)
    with pytest.raises(
        DataError, match="'01/01/2024', which may be .* or .*; name the one with time_f"
    ):
        load(frame)
    months = load(frame, time_format="%m/%d/%Y")
    assert months.frame.index[2] == pd.Timestamp("2024-01-02")


def test_zones_named_in_the_cells_are_heeded(load):
    names = np.where(HOURS < "2024-03-31 02:00", "CET", "CEST")
    offset = pd.to_timedelta(np.where(names == "CET", 1, 2), unit="h")
    series = load(table(time=(HOURS + offset).strftime("%Y-%m-%d %H:%M ") + names))
    assert (series.frame.index == HOURS).all()
    with pytest.raises(
        DataError, match="names the zone 'IST', which is not known or means several"
    ):
        load(table(time=HOURS.strftime("%Y-%m-%d %H:%M IST")))
    with pytest.raises(DataError, match="name their zone themselves; leave timezone out"):
        load(table(time=HOURS.strftime("%Y-%m-%d %H:%M+01:00")), timezone="Europe/Berlin")


AUTUMN = pd.date_range("2024-10-20", periods=N_ROWS, freq="h")
LOCAL = AUTUMN.tz_localize("UTC").tz_convert("Europe/Berlin").tz_localize(None)


@pytest.mark.parametrize("newest_first", [False, True])
def test_the_hour_that_clocks_repeat_needs_its_zone(load, newest_first):
    frame = table(time=LOCAL)[:: -1 if newest_first else 1]
    with pytest.raises(
        DataError, match=r"2024-10-27 02:00:00 more than once .* timezone, such as"
    ):
        load(frame)
    series = load(frame, timezone="Europe/Berlin")
    assert (series.frame.index == AUTUMN).all()
    assert series.frame["load"].tolist() == LOAD.tolist()


@pytest.mark.parametrize("first", range(166, 172))
def test_a_request_may_begin_and_end_within_the_repeated_hour(load, first):
    kept = load(table(time=LOCAL), timezone="Europe/Berlin").time_format
    for last in range(first + 3, first + 6):
        rows = pd.DataFrame({"time": LOCAL[first:last].astype(str)})
        assert kept.read(rows).tolist() == AUTUMN[first:last].tolist()


def test_a_lone_repeated_hour_is_refused(load):
    frame = table(time=LOCAL).drop(index=169)
    with pytest.raises(DataError, match="may be an hour later, as the clocks repeat that hour"):
        load(frame, timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("zone", "message"),
    [
        ("Europe/Berln", "timezone is 'Europe/Berln'; it must be one such as Europe/Berlin"),
        ("../etc/passwd", "timezone is '../etc/passwd'; it must be one such as"),
        ("Europe/Berlin", "2024-03-31 02:00:00 does not exist in Europe/Berlin"),
    ],
)
def test_a_zone_that_cannot_be_is_refused(load, zone, message):
    with pytest.raises(DataError, match=message):
        load(table(time=HOURS), timezone=zone)


def test_rows_that_repeat_another_are_left_out(load):
    frame = table(time=HOURS)
    series = load(pd.concat([frame, frame.iloc[5:8]]))
    assert (series.frame.index == HOURS).all()
    assert "3 rows that repeat another are left out" in series.notes


def test_totals_below_the_rows_are_left_out(load):
    frame = table(time=HOURS.strftime("%Y-%m-%d %H:%M"))
    frame.loc[N_ROWS] = ["Total", LOAD.sum(), 0.0]
    frame.loc[N_ROWS + 1] = ["Mean", LOAD.mean(), 0.0]
    series = load(frame)
    assert series.frame["load"].tolist() == LOAD.tolist()
    assert "the last 2 rows are left out: they sum up those above them" in series.notes


def test_a_time_that_is_none_is_named_unless_another_column_is_whole(load):
    text = HOURS.strftime("%Y-%m-%d %H:%M").tolist()
    text[7] = "soon"
    with pytest.raises(DataError, match=r"time 'time' is 'soon' in data row 8, which is no time"):
        load(table(time=text))
    assert load(table(time=text, utc=HOURS)).time_format.columns == ("utc",)


def test_a_whole_pattern_may_be_named(load):
    frame = table(at=HOURS.strftime("%a %b %d %H:%M:%S %Y"))
    assert load(frame).times is None
    series = load(frame, time="at", time_format="%a %b %d %H:%M:%S %Y")
    assert (series.frame.index == HOURS).all()
    written = series.time_format.written(series.frame.index)
    assert written["at"].tolist() == frame["at"].tolist()
    with pytest.raises(DataError, match="which is not known as a time; say how its dates"):
        load(frame, time="at", time_format="%Y/%m/%d")


@pytest.mark.parametrize("text", ["9999-12-31 00:00", "2024-13-45 00:00", "2024-02-30"])
def test_a_time_that_cannot_be_is_named(load, text):
    times = HOURS.strftime("%Y-%m-%d %H:%M").tolist()
    with pytest.raises(DataError, match=r"time 'time' is '.*' in data row 18, which is no time"):
        load(table(time=[*times[:17], text, *times[18:]]))


def test_an_empty_time_is_called_empty(load):
    with pytest.raises(DataError, match="time 'time' is empty in data row 18; remove that row"):
        load(table(time=[*HOURS[:17], None, *HOURS[18:]]))


@pytest.mark.parametrize("pattern", ["%d%m%Y", "%y%m%d"])
def test_zeros_in_front_of_a_date_are_preserved_or_restored(load, pattern):
    written = DAYS.strftime(pattern)
    assert any(text[0] == "0" for text in written) == (pattern == "%d%m%Y")
    for cells in (written, written.astype(int)):
        series = load(table(time=cells), time="time", time_format=pattern)
        assert (series.frame.index == DAYS).all()


def test_a_clock_with_zeros_in_front_is_one(load):
    series = load(table(date=HOURS.strftime("%Y%m%d"), time=HOURS.strftime("%H%M")))
    assert (series.frame.index == HOURS).all()


def test_a_part_of_a_time_may_be_a_word_and_parts_may_be_missing(load):
    parts = {"year": HOURS.year, "month": HOURS.strftime("%b"), "day": HOURS.day}
    series = load(table(**parts, hour=HOURS.hour))
    assert (series.frame.index == HOURS).all()
    series = load(table(year=HOURS.year, day_of_year=HOURS.day_of_year, hour=HOURS.hour))
    assert series.times is None
    assert any("no column of times is found" in note for note in series.notes)


@pytest.mark.parametrize("pattern", ["dd/mm/yyyy", "%Q", "%"])
def test_a_pattern_that_is_none_is_refused(load, pattern):
    with pytest.raises(DataError, match="time_format is .* written as strftime has it"):
        load(table(time=HOURS), time_format=pattern)


def test_days_and_months_that_a_spreadsheet_mixed_are_said(load):
    mixed = [t.strftime("%m/%d/%Y" if t.day > 12 else "%d/%m/%Y") for t in DAYS]
    notes = load(table(time=mixed)).notes
    assert any("the rows are not in the order of their times" in note for note in notes)
    assert not any("in the order" in note for note in load(table(time=DAYS[::-1])).notes)


def test_times_of_two_kinds_are_both_shown(load):
    half = [str(t) if n < N_ROWS // 2 else f"{t:%d/%m/%Y %H:%M}" for n, t in enumerate(HOURS)]
    (note,) = [note for note in load(table(time=half)).notes if "no column of times" in note]
    assert repr(half[0]) in note
    assert repr(half[-1]) in note
