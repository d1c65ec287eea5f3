"""CSV files as people and machines write them: read as they are meant, or refused in one line."""

import gzip
import time
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llmpso.data.series.load_csv import load_csv
from llmpso.data.series.time_series import TimeSeries
from llmpso.data.tables.csv_table import CsvOptions
from llmpso.errors import DataError

N_ROWS = 60
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "time": pd.date_range("2024-03-28", periods=N_ROWS, freq="h"),
        "load": RNG.normal(2000, 500, N_ROWS).round(2),
        "wind": RNG.normal(3, 1, N_ROWS).round(3),
    }
)
PLAIN = FRAME.to_csv(index=False)


@pytest.fixture
def read(tmp_path):
    def series(content: str | bytes, target: str = "load", **options: str) -> TimeSeries:
        path = tmp_path / "some.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_csv(path, target, options=CsvOptions(**options))

    return series


def is_whole(series: TimeSeries, target: str = "load") -> bool:
    same = np.allclose(series.frame[target], FRAME["load"]) and np.allclose(
        series.frame["wind"], FRAME["wind"]
    )
    return same and (series.frame.index == FRAME["time"]).all()


def with_cells(column: str, cells: dict[int, object]) -> str:
    frame = FRAME.astype({column: object})
    for row, cell in cells.items():
        frame.loc[row, column] = cell
    return frame.to_csv(index=False)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(FRAME.to_csv(index=False, sep=";", decimal=","), id="semicolons, commas"),
        pytest.param(FRAME.to_csv(index=False, sep=";"), id="semicolons, full stops"),
        pytest.param(FRAME.to_csv(index=False, sep="\t"), id="tabs"),
        pytest.param(FRAME.to_csv(index=False, sep="|", decimal=","), id="bars"),
        pytest.param(FRAME.to_csv(index=False, decimal=","), id="commas for both, quoted"),
        pytest.param(
            FRAME.assign(time=FRAME["time"].dt.strftime("%Y-%m-%dT%H:%M")).to_string(index=False),
            id="spaces",
        ),
        pytest.param(PLAIN.encode("utf-8-sig"), id="a mark of UTF-8"),
        pytest.param(PLAIN.encode("utf-16"), id="UTF-16"),
        pytest.param(PLAIN.encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param(PLAIN.encode("utf-32"), id="UTF-32"),
        pytest.param(PLAIN.replace("\n", "\r\n"), id="line ends of Windows"),
        pytest.param(PLAIN.replace("\n", "\r"), id="line ends of an old Macintosh"),
        pytest.param(f"# station 5\n# by a logger\n{PLAIN}", id="comments above"),
        pytest.param(f"Station 5\n\nfrom,to\n1,2\n{PLAIN}", id="other lines above"),
        pytest.param(PLAIN.replace("\n2024-03-29", "\n# restarted\n2024-03-29", 1), id="within"),
        pytest.param(PLAIN.replace("wind\n", "wind\n[-],[MW],[m/s]\n"), id="units"),
        pytest.param(PLAIN.replace("wind\n", "wind\n,MW,\n"), id="one unit"),
        pytest.param(PLAIN.replace("wind\n", "wind,\n").replace("\n2", ",\n2"), id="open ends"),
        pytest.param(PLAIN.replace("\n2", ",\n2").replace("wind,", "wind"), id="rows end open"),
        pytest.param(PLAIN + ",,\n,,\n\n", id="empty rows"),
        pytest.param(PLAIN.replace("\n2024-03-29", "\ntime,load,wind\n2024-03-29", 1), id="again"),
        pytest.param("sep=;\n" + FRAME.to_csv(index=False, sep=";"), id="a line for Excel"),
        pytest.param(PLAIN + "2024-03-30 12:", id="cut off"),
    ],
)
def test_a_table_is_the_same_however_it_is_laid_out(read, content):
    assert is_whole(read(content))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        pytest.param("{:,.2f}", 1.0, id="thousands"),
        pytest.param("{:.2f} MW", 1.0, id="a unit"),
        pytest.param("{:.2f}%", 1.0, id="per cent"),
        pytest.param("  {:.2f} ", 1.0, id="spaces"),
        pytest.param("${:,.2f}", 1.0, id="a currency"),
        pytest.param("{:.2f} €", 1.0, id="another currency"),
        pytest.param("\u2212{:.2f}", -1.0, id="a typographic minus"),
    ],
)
def test_numbers_are_read_as_people_write_them(read, cells, expected):
    text = FRAME.assign(load=FRAME["load"].map(cells.format)).to_csv(index=False)
    assert np.allclose(read(text).frame["load"], expected * FRAME["load"])


def test_thousands_are_distinguished_from_decimals(read):
    whole = FRAME.assign(load=FRAME["load"].round() + 0)
    european = whole["load"].map("{:,.0f}".format).str.replace(",", ".") + ",0"
    content = whole.assign(load=european).to_csv(index=False, sep=";", decimal=",")
    assert np.allclose(read(content).frame["load"], whole["load"])
    swiss = whole["load"].map("{:,.0f}".format).str.replace(",", "'")
    assert np.allclose(
        read(whole.assign(load=swiss).to_csv(index=False)).frame["load"], whole["load"]
    )
    either = "time;load\n" + "".join(
        f"{t};{1 + n % 9},{200 + n}\n" for n, t in enumerate(FRAME["time"])
    )
    with pytest.raises(
        DataError, match=r"'1,200' may be a little more than 1 or a thousand times"
    ):
        read(either)
    assert read(either, decimal=",").frame["load"].max() < 10
    assert read(either, decimal=".").frame["load"].min() > 1000


def test_numbers_written_in_two_ways_are_refused(read):
    content = "time;load\n" + "".join(
        f"{t};{'1.5,25' if n == 9 else '12,5' if n % 2 else '1,234.5'}\n"
        for n, t in enumerate(FRAME["time"])
    )
    with pytest.raises(DataError, match="numbers are written in two ways, '12,5' and '1,234.5'"):
        read(content)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        pytest.param("{:.2f} €", 1.0, id="a currency"),
        pytest.param("{:.2f} kW", 1.0, id="a unit"),
        pytest.param("{:.1f}%", 1.0, id="per cent"),
        pytest.param("{:_.2f}", 1.0, id="narrow spaces"),
        pytest.param("{:.4e}", 1.0, id="powers of ten"),
    ],
)
def test_a_decimal_comma_is_found_beside_a_unit(read, cells, expected):
    text = FRAME["load"].map(cells.format).str.replace(".", ",").str.replace("_", "\u202f")
    content = FRAME[["time"]].assign(load=text).to_csv(index=False, sep=";")
    assert np.allclose(read(content).frame["load"], expected * FRAME["load"], rtol=1e-4)


def test_indian_groups_of_digits_are_read(read):
    lakhs = [f"{n // 100},{n % 100:02d},{500 + n}" for n in range(100, 100 + N_ROWS)]
    series = read(FRAME.assign(load=lakhs).to_csv(index=False))
    assert series.frame["load"].iloc[1] == 101_601


@pytest.mark.parametrize("few", [{30: "20,602"}, {n: "20,602" for n in range(0, N_ROWS, 2)}])
def test_a_comma_that_may_be_either_within_a_column_is_refused(read, few):
    content = FRAME.assign(load=FRAME["load"].astype(str)).astype({"load": object})
    for row, cell in few.items():
        content.loc[row, "load"] = cell
    text = content.to_csv(index=False, sep=";")
    with pytest.raises(DataError, match="column 'load' holds '20,602' and '.*': what is the dec"):
        read(text)
    assert read(text, decimal=".").frame["load"].max() == 20_602


@pytest.mark.parametrize("mark", [-9999, -99.9, 999999, 9.96921e36])
def test_a_number_far_from_all_others_is_said(read, mark):
    series = read(with_cells("wind", {7: mark, 9: mark}))
    assert any(f"'wind': {mark:g}, in 2 cells, is far from" in note for note in series.notes)
    assert not any("far from" in note for note in read(with_cells("load", {7: 999})).notes)


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        ("load\xa0", "load"),
        (" load ", "load"),
        ("\u200bload", "load"),
        ("Gro\u0308ße", "Größe"),
        ("load\n(MW)", "load (MW)"),
    ],
)
def test_a_column_is_found_by_what_one_sees_of_its_name(read, written, typed):
    content = FRAME.rename(columns={"load": written}).to_csv(index=False)
    series = read(content, typed)
    assert series.target == written
    assert np.allclose(series.frame[written], FRAME["load"])


@pytest.mark.parametrize("column", ["load", "wind"])
@pytest.mark.parametrize("mark", ["x", "n/a", "--", "<0.1", "?", "#REF!", "1.2.3"])
def test_a_few_marks_are_gaps_and_said(read, column, mark):
    series = read(with_cells(column, {7: mark, 9: mark}))
    assert series.frame[column].isna().to_numpy().nonzero()[0].tolist() == [7, 9]
    said = [note for note in series.notes if f"column {column!r}: 2 of" in note]
    assert len(said) == (0 if mark == "n/a" else 1)  # pandas knows that one
    assert all(repr(mark) in note for note in said)


def test_a_column_of_many_marks_is_left_out_with_the_reason(read):
    frame = FRAME.astype({"wind": object})
    frame.loc[::6, "wind"] = "x"
    series = read(frame.to_csv(index=False))
    assert series.features == ()
    assert any(
        "'wind' is left out: 10 of its 60 cells are no number, 'x'" in n for n in series.notes
    )


def test_identifiers_stay_text(read):
    ids = [str(2**70 + n * n) for n in range(N_ROWS)]
    assert any(
        "'id' is left out: it is text" in n
        for n in read(FRAME.assign(id=ids).to_csv(index=False)).notes
    )


def test_truth_values_with_gaps_are_numbers(read):
    flags = pd.Series([True, False, None, True] * 15, dtype=object)
    series = read(FRAME.assign(holiday=flags).to_csv(index=False))
    assert series.frame["holiday"].tolist()[:2] == [1.0, 0.0]
    assert np.isnan(series.frame["holiday"].iloc[2])


def test_the_row_of_units_names_the_unit(read):
    assert read(PLAIN.replace("wind\n", "wind\n[-],[MW],[m/s]\n")).unit == "MW"


def test_what_was_found_is_said(read):
    notes = read(
        b"# a station\n"
        + FRAME.rename(columns={"wind": "W\u00e4rme"})
        .to_csv(index=False, sep=";", decimal=",")
        .encode("latin-1")
    ).notes
    assert any("not in UTF-8: it is read as Windows-1252" in note for note in notes)
    assert "columns are separated by semicolons" in notes
    assert "numbers have a decimal comma" in notes
    assert "1 line is left out above the header, first '# a station'" in notes
    assert read(PLAIN).notes == ()


def test_options_overrule_what_is_found(read):
    greek = FRAME.rename(columns={"load": "φορτίο"}).to_csv(index=False).encode("iso8859_7")
    assert is_whole(read(greek, "φορτίο", encoding="iso8859_7"), "φορτίο")
    odd = FRAME.to_csv(index=False, sep="^")
    assert is_whole(read(odd, separator="^"))
    assert is_whole(read(FRAME.to_csv(index=False, sep="\t"), separator="tab"))


def test_a_packed_file_is_known_by_what_it_holds(read):
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("__MACOSX/._some.csv", "x")
        packed.writestr("some.csv", PLAIN)
    for content in (gzip.compress(PLAIN.encode()), archive.getvalue()):
        assert is_whole(read(content))


@pytest.mark.parametrize("pack", [gzip.compress])
def test_packed_files_are_unpacked(tmp_path, pack):
    (tmp_path / "some.csv.gz").write_bytes(pack(PLAIN.encode()))
    assert is_whole(load_csv(tmp_path / "some.csv.gz", "load"))
    (tmp_path / "some.csv.gz").write_bytes(pack(PLAIN.encode())[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        load_csv(tmp_path / "some.csv.gz", "load")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (PLAIN.replace("wind", "load"), {}, "has several columns 'load'; give each a name"),
        (PLAIN.replace("2000", "20\0", 1) + "\0", {}, "holds a NUL character in line"),
        (PLAIN.replace("\n2024-03-28 05", '\n"2024-03-28 05'), {}, "is no CSV table"),
        (PLAIN.replace("load,wind", "load"), {}, "has 2 names in its header and 3 cells"),
        (PLAIN.replace("\n2024-03-28 05", "\n1,2,3,4,2024-03-28 05"), {}, "is no CSV table"),
        (PLAIN, {"separator": ",,"}, "separator is ',,'; it must be one character, tab or space"),
        (PLAIN, {"encoding": "utf-9"}, "encoding is 'utf-9'; it must be one that Python knows"),
        (PLAIN.encode("utf-16"), {"encoding": "ascii"}, "is no text in ascii"),
        (
            with_cells("wind", {3: 1e308}),
            {},
            r"column 'wind' holds 1e\+308; values beyond 1e\+100",
        ),
        (with_cells("load", {3: "inf"}), {}, "column 'load' holds 1 infinite values"),
        ("load\n" + "1\n" * 60, {}, "target 'load' is always 1"),
        ("\n\n\n", {}, "no CSV table|no rows below"),
        (b"\xff\xfe", {}, "no CSV table"),
        (b"PAR1" + bytes(range(256)), {}, "is a Parquet file; save the table as CSV"),
        ("\n<!DOCTYPE html><p>404", {}, "is a web page; save the table as CSV"),
        (FRAME.astype({"time": str}).to_json(orient="records"), {}, "is JSON; save the table"),
        (bytes(range(128, 256)), {}, "is no text in a known encoding; name its encoding"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", {}, "holds a NUL character"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(read, content, options, message):
    with pytest.raises(DataError, match=message) as caught:
        read(content, **options)
    assert "\n" not in str(caught.value)


def test_a_million_columns_are_refused_by_the_header_alone(tmp_path: Path):
    row = ",".join(["1"] * 1_000_000)
    names = ",".join(f"c{n}" for n in range(999_999))
    (tmp_path / "wide.csv").write_text(f"load,{names}\n{row}\n{row}\n")
    before = time.process_time()
    with pytest.raises(DataError, match="has 1,000,000 columns; at most 5,000 are read"):
        load_csv(tmp_path / "wide.csv", "load")
    assert time.process_time() - before < 60  # it took 154 s, and 3 GB
    with pytest.raises(DataError, match="columns; at most 5,000 are read"):
        load_csv(tmp_path / "wide.csv", "lod")


def test_a_cell_that_does_not_end_is_refused(read):
    with pytest.raises(DataError, match="no CSV table"):
        read('time,load,"' + "x" * 200_000 + "\n1,2,3\n")


def test_short_rows_are_counted(read):
    lines = PLAIN.splitlines()
    lines[5] = lines[5].rsplit(",", 1)[0]
    series = read("\n".join(lines))
    assert np.isnan(series.frame["wind"].iloc[4])
    assert any("1 row has fewer cells than the header (line 6 first)" in n for n in series.notes)
    cut = read(PLAIN + "2024-03-30 12:00:00,19")
    assert len(cut.frame) == N_ROWS
    assert "the last row is left out: it is cut off" in cut.notes
