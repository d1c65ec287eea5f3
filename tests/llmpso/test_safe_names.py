"""Names are made fit without two of them becoming one."""

import itertools

import pytest

from llmpso.safe_names import file_name, fitted, is_plain, mark

NAMES = [
    "recall@5",
    "recall#5",
    "recall_5",
    "recall 5",
    "f1 (macro)",
    "",
    " ",
    "  ",
    "a/../b",
    "/a",
    "a",
    "a/",
    ".",
    "..",
    "a\n",
    "a\x00",
    "a\u2028",
    "‮a",
    "💥",
    "🔥",
    "$x$",
    "x" * 300,
    "x" * 301,
    "漢" * 300,
    "\ud800",
    "a" + mark("a@"),
    "a@" + mark("a@"),
    "[x](javascript:alert(1))",
    "<!--<script>",
]


def test_no_two_names_become_one() -> None:
    found = [fitted(name, is_plain, 80) for name in NAMES]
    assert len(set(found)) == len(NAMES)
    again = {fitted(name, is_plain, 80) for name in found}
    assert len(again) == len(NAMES)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_what_was_made_fit_fits(name) -> None:
    for found in (fitted(name, is_plain, 80), file_name(name)):
        assert all(map(is_plain, found))
        assert found == found.strip()
        assert found not in ("", ".", "..")
        assert len(found.encode()) <= 120


@pytest.mark.parametrize("name", ["recall", "AUC", "val loss", "pm2.5", "größe", "温度", "x-y_z"])
def test_a_name_that_fits_is_unchanged(name) -> None:
    assert fitted(name, is_plain, 80) == name
    assert fitted(name, is_plain, 80, frozenset({name})) == f"{name}{mark(name)}"


def test_a_files_ending_is_unchanged(tmp_path) -> None:
    names = [
        "../a.json",
        "/etc/a.json",
        "a/b.json",
        "a\x00.json",
        "x" * 400 + ".json",
        "con@.json",
    ]
    found = [file_name(name) for name in names]
    assert len(set(found)) == len(names)
    for name in found:
        assert name.endswith(".json")
        (tmp_path / name).write_text("{}")
    assert len(list(tmp_path.iterdir())) == len(names)
    assert file_name("confusion.json") == "confusion.json"
    assert file_name("model", frozenset({"model"})) != "model"
    assert all(one != other for one, other in itertools.combinations(found, 2))


@pytest.mark.parametrize("name", ["CON", "nul.txt", "Com1.json", "lpt9", "aux.tar.gz"])
def test_no_file_is_called_as_a_device_of_windows_is(name) -> None:
    found = file_name(name)
    assert found.partition(".")[0].lower() not in ("con", "nul", "com1", "lpt9", "aux")
    assert file_name("console.txt") == "console.txt"
