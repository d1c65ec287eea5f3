"""What the study before is worth, when the data has moved on."""

import pytest

from llmpso.benchmark.warm_versus_cold import Race, forecasts, gain, networks, races
from llmpso.data.series.air_quality import load_taiwan


def test_a_race_is_repeatable_and_the_warm_study_knows_the_one_before() -> None:
    windows, setting = forecasts(load_taiwan(), 2), {"n_seeds": 1, "budget": 8}
    found = list(races(windows, **setting))
    assert [(race.window, race.seed) for race in found] == [(1, 0), (2, 0)]
    assert all(len(race.cold) == len(race.warm) == 8 for race in found)
    assert all(race.cold != race.warm for race in found)
    assert list(races(windows, **setting)) == found


def test_the_network_is_tuned_on_the_same_windows() -> None:
    series = load_taiwan()
    first, second, third = (objective.frame for objective in networks(series, 2))
    assert len(first) == len(second) == len(third) == len(series.frame) // 2
    assert second.index[0] == series.frame.index[len(series.frame) // 4]
    assert third.index[-1] == series.frame.index[-1]


def test_the_gain_is_a_ratio_of_means_to_what_any_study_found() -> None:
    found = [
        Race(1, 0, (3.0, 2.0, 2.0), (2.0, 2.0, 2.0)),
        Race(1, 1, (3.0, 3.0, 2.01), (3.0, 2.02, 2.02)),
        Race(2, 0, (-1.0, -1.0, -1.0), (-0.5, -2.0, -2.0)),
    ]
    total = gain(found)
    assert total.unsolved == (1, 0)
    assert total.cold == pytest.approx((2 + 3 + 4) / 3)
    assert total.warm == pytest.approx((1 + 2 + 2) / 3)
    assert total.ratio == pytest.approx(5 / 9)
    assert total.low < 5 / 9 < total.high
