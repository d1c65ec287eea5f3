"""Sizes of a surface trained in earnest: with seeds of their own, on the surface's own data."""

import numpy as np
import pandas as pd
import pytest

from llmpso.benchmark.live_surface import LiveSurface, surface_network
from llmpso.benchmark.surfaces import Cell, SurfaceObjective, find_surface, train_cell
from llmpso.errors import DataError, SpecError

SMALL = {"layers": 1, "filters": 3}


def test_a_size_is_trained_with_three_seeds_that_the_surface_has_not_seen() -> None:
    live = LiveSurface("cnn", 2, None)
    evaluation = live.evaluate(SMALL)
    surface = find_surface("cnn")
    network = surface_network(surface, None)
    rows = [train_cell(surface, network, Cell(1, 3, seed)) for seed in (1006, 1007, 1008)]
    assert evaluation.value == pytest.approx(np.mean([row["value"] for row in rows]))
    assert evaluation.metrics["test"] == pytest.approx(np.mean([row["test"] for row in rows]))
    assert evaluation.metrics["seconds"] > 0
    assert live.evaluate(dict(SMALL)) is evaluation
    assert evaluation.value != SurfaceObjective("cnn").evaluate(SMALL).value


def test_it_is_searched_and_described_as_the_surface_is() -> None:
    live, looked_up = LiveSurface("cnn", 0, None), SurfaceObjective("cnn")
    assert list(live.space.configurations()) == list(looked_up.space.configurations())
    assert (live.metric, live.description) == (looked_up.metric, looked_up.description)


def test_other_data_than_the_surface_was_trained_on_are_refused(tmp_path) -> None:
    with pytest.raises(SpecError, match="csv is missing"):
        LiveSurface("lstm", 0, None)
    rng = np.random.default_rng(0)
    days = pd.date_range("2020-01-01", periods=400).strftime("%Y-%m-%d")
    other = pd.DataFrame({"City": "Delhi", "Date": days, "AQI": rng.uniform(50, 300, 400)})
    other.to_csv(tmp_path / "city_day.csv", index=False)
    with pytest.raises(DataError, match="not those that the surface was trained on"):
        LiveSurface("lstm", 0, str(tmp_path / "city_day.csv"))
