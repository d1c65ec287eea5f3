"""A surface: trained once, gone on with where it stopped, refused where it does not fit."""

import sys
from dataclasses import replace

import pytest

from flows.command_line import USAGE_ERROR, run_module
from flows.surface import APP, surface
from llmpso.benchmark import surfaces
from llmpso.benchmark.surfaces import SURFACES, read_rows


@pytest.fixture(autouse=True)
def small_surface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers, two widths and two seeds, one epoch each."""
    options = SURFACES["cnn"].options | {"max_epochs": 1}
    small = replace(SURFACES["cnn"], widths=(2, 4), options=options)
    monkeypatch.setitem(surfaces.SURFACES, "cnn", small)
    monkeypatch.setattr(surfaces, "LAYERS", (1, 2))
    monkeypatch.setattr(surfaces, "SEEDS", (0, 1))


def test_an_interrupted_surface_goes_on(prefect_server, tmp_path):
    path = tmp_path / "cnn.csv"
    text = surface("cnn", out=str(path), workers=2)
    assert "4 configurations" in text
    assert "standard deviation between configurations" in text
    whole = read_rows(path)
    assert len(whole) == 8
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-3]))
    surface("cnn", out=str(path), workers=1)
    again = read_rows(path)
    place = ["layers", "filters", "seed"]
    columns = [*place, "value", "test", "epochs"]
    assert again.sort_values(place)[columns].to_numpy().tolist() == (
        whole.sort_values(place)[columns].to_numpy().tolist()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnn"], 'Invalid value "rnn" for NAME. Choose from: "lstm", "cnn".'),
        (["lstm"], "csv is missing; name the file city_day.csv"),
        (["cnn", "--csv", "a.csv"], "csv is for lstm"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["flows.surface", *arguments])
    assert run_module(APP, "flows.surface") == USAGE_ERROR
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_without_torch_it_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "llmpso.benchmark.live_surface", raising=False)
    for name in [name for name in sys.modules if name.startswith("llmpso.objectives.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "argv", ["flows.surface", "cnn"])
    assert run_module(APP, "flows.surface") == USAGE_ERROR
    assert capsys.readouterr().err == "error: surface needs torch: pip install 'llmpso[torch]'\n"
