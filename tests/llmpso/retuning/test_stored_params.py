"""Configurations come back from the text that a tracking server stores."""

import pytest

from llmpso.errors import SpaceError
from llmpso.retuning.stored_params import parsed_params
from llmpso.space import Categorical, Float, Integer, SearchSpace

SPACE = SearchSpace(
    {
        "rate": Float(1e-4, 1.0, log=True),
        "units": Integer(1, 64),
        "bias": Categorical((True, 3, "x")),
    }
)


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


def test_none_and_lists_come_back_from_text_unless_two_choices_read_alike() -> None:
    space = SearchSpace({"sizes": Categorical([None, [64, 64], "0.1", 0.1])})
    for choice in (None, (64, 64)):
        assert parsed_params(space, {"sizes": str(choice)}) == {"sizes": choice}
    with pytest.raises(SpaceError, match="sizes is '0.1'; that may be '0.1' or 0.1"):
        parsed_params(space, {"sizes": "0.1"})
