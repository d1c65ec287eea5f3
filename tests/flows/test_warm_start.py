"""The command that measures warm starts."""

from flows.command import USAGE_ERROR
from flows.warm_start import warm_start


def test_it_measures_on_the_data_that_ships(capsys) -> None:
    assert warm_start(windows=1, seeds=1, budget=6) == 0
    text = capsys.readouterr().out
    assert "air-quality: 1 windows × 1 seeds, 6 evaluations each" in text
    assert "to the cold study's final value: cold " in text


def test_the_command_says_what_is_missing(capsys) -> None:
    assert warm_start(csv="a.csv") == USAGE_ERROR
    assert "csv and target go together" in capsys.readouterr().err
