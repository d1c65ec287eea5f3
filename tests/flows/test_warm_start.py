"""The command that measures warm starts."""

import shlex

from flows.command_line import USAGE_ERROR, joined_app, run


def test_it_measures_on_the_data_that_ships(capsys) -> None:
    assert run(joined_app(), shlex.split("warm-start --windows 1 --seeds 1 --budget 6")) == 0
    text = capsys.readouterr().out
    assert "air-quality: 1 windows × 1 seeds, 6 trainings each" in text
    assert "to within 1% of the window's lowest value: cold " in text


def test_the_command_says_what_is_missing(capsys) -> None:
    assert run(joined_app(), ["warm-start", "--csv", "a.csv"]) == USAGE_ERROR
    assert "csv and target go together" in capsys.readouterr().err
