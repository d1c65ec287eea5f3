"""Earlier studies as history: comparable within themselves, read back from text, measured."""

import math

import numpy as np
import pytest

from llmpso.benchmark.warm_versus_cold import Race, gain, races
from llmpso.data.series.air_quality import load_taiwan
from llmpso.errors import SpaceError
from llmpso.retuning.earlier_studies import MOST_TRIALS, parsed_params, pooled_history
from llmpso.space import Categorical, Float, Integer, SearchSpace

SPACE = SearchSpace(
    {
        "rate": Float(1e-4, 1.0, log=True),
        "units": Integer(1, 64),
        "bias": Categorical((True, 3, "x")),
    }
)


def test_studies_are_scaled_one_by_one_and_the_newest_counts() -> None:
    newest = [({"x": i}, 100.0 + i) for i in range(5)]
    oldest = [({"x": i}, 1.0 + i / 10) for i in range(3, 8)] + [({"x": 9}, math.nan)]
    pooled = dict((params["x"], value) for params, value in pooled_history([newest, oldest]))
    assert [pooled[i] for i in range(5)] == pytest.approx([-1, -0.5, 0, 0.5, 1])
    assert [pooled[i] for i in range(5, 8)] == pytest.approx([0, 0.5, 1])
    assert math.isnan(pooled[9])


def test_too_few_trials_are_no_history() -> None:
    assert pooled_history([]) == ()
    assert pooled_history([[({"x": 1}, 1.0), ({"x": 2}, 2.0)]]) == ()
    assert pooled_history([[({"x": i}, math.nan) for i in range(9)]]) == ()
    many = [({"x": i}, float(i)) for i in range(400)]
    assert len(pooled_history([many])) == MOST_TRIALS


def test_params_come_back_from_text_with_their_types() -> None:
    params = {"rate": 0.012345678901234567, "units": 7, "bias": True}
    texts = {name: str(value) for name, value in params.items()} | {"other": "1"}
    assert parsed_params(SPACE, texts) == params
    assert parsed_params(SPACE, texts | {"bias": "3"})["bias"] == 3
    with pytest.raises(SpaceError, match="units is 'many'; it must be a whole number"):
        parsed_params(SPACE, texts | {"units": "many"})
    with pytest.raises(SpaceError, match="rate is missing"):
        parsed_params(SPACE, {"units": "7", "bias": "x"})
    with pytest.raises(SpaceError, match="bias is 'y'; it must be one of"):
        parsed_params(SPACE, texts | {"bias": "y"})


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


def test_none_and_lists_come_back_from_text_unless_two_choices_read_alike() -> None:
    space = SearchSpace({"sizes": Categorical([None, [64, 64], "0.1", 0.1])})
    for choice in (None, (64, 64)):
        assert parsed_params(space, {"sizes": str(choice)}) == {"sizes": choice}
    with pytest.raises(SpaceError, match="sizes is '0.1'; that may be '0.1' or 0.1"):
        parsed_params(space, {"sizes": "0.1"})
