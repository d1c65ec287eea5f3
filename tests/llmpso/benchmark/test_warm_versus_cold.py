"""What the study before is worth, when the data has moved on."""

import numpy as np
import pytest

from llmpso.benchmark.warm_versus_cold import Race, gain, races
from llmpso.data.series.air_quality import load_taiwan


def test_a_race_is_repeatable_and_the_warm_study_knows_the_one_before() -> None:
    setting = {"n_windows": 2, "n_seeds": 1, "budget": 8}
    found = list(races(load_taiwan(), **setting))
    assert [(race.window, race.seed) for race in found] == [(1, 0), (2, 0)]
    assert all(1 <= race.cold <= 8 and 1 <= race.warm <= 9 for race in found)
    assert list(races(load_taiwan(), **setting)) == found


def test_the_gain_is_a_ratio_of_means_with_its_interval() -> None:
    found = [Race(1, seed, 20, 10) for seed in range(5)] + [Race(2, 0, 20, 31)]
    total = gain(found, 30)
    assert (total.cold, total.warm, total.unsolved) == (20.0, 13.5, 1)
    assert total.ratio == pytest.approx(0.675)
    assert total.low < 0.675 < total.high
    assert np.isfinite([total.low, total.high]).all()
