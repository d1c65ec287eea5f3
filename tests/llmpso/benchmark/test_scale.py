"""One study on many workers: what is measured of it; the clusters themselves are not needed."""

import pandas as pd
import pytest

from llmpso.benchmark import scale
from llmpso.options import RunOptions


def test_a_study_tells_how_long_its_parts_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "TRAINING_SECONDS", 0.02)
    row = {"runner": "thread", "workers": 8} | scale._study(RunOptions(), 8, seed=0)
    assert row["evaluations"] == 32
    assert 0 < row["search_seconds"] < row["seconds"]
    assert row["runner_seconds"] >= 32 * 0.02 / 8 / 2
    table = scale.scale_table(pd.DataFrame([row, row | {"workers": 16}]))
    assert table["at most"].tolist() == [400.0, 800.0]
    assert table["trainings a second"].iloc[0] == row["evaluations"] / row["seconds"]
    assert (table["search busy"] < 1).all()
