"""The deployments of the file can run, and what could not is refused in one line."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from flows.command import USAGE_ERROR
from flows.schedules import load_deployments
from flows.serve import FILE, serve
from llmpso.errors import SpecError


def test_every_deployment_of_the_file_can_run() -> None:
    deployments = load_deployments(FILE)
    assert [deployment.full_name for deployment in deployments] == [
        "retune/lstm-air-quality",
        "retune/cnn-textures",
        "retune/own",
        "tune/lstm-air-quality",
        "tune/cnn-textures",
        "tune/own",
    ]
    for deployment in deployments:
        assert deployment.limit.limit == 1
        assert deployment.limit.collision_strategy.value == "CANCEL_NEW"
        assert deployment.tags
        assert deployment.description
        for timing in deployment.timings:
            assert timing.timezone == "Europe/Berlin"
            assert timing.following() > datetime.now(UTC)


def test_the_file_names_no_path_of_anyones_machine() -> None:
    text = FILE.read_text()
    assert not re.search(r"(?<![\w.{}$\"])/(?:home|root|Users|tmp|work|var|opt)\b", text)
    assert "{{ $PWD }}" in text


def written(folder: Path, *changes: dict) -> Path:
    """A file of deployments, each the first of the real file with a change."""
    first = yaml.safe_load(FILE.read_text())["deployments"][0]
    path = folder / "prefect.yaml"
    path.write_text(yaml.safe_dump({"deployments": [first | change for change in changes]}))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"schedules": [{"rrule": "FREQ=WEEKLY;UNTIL=20200101T000000", "timezone": "UTC"}]},
            "schedule 'FREQ=WEEKLY;UNTIL=20200101T000000' in 'UTC' lies in the past",
        ),
        (
            {"schedules": [{"cron": "0 0 30 2 *"}]},
            "schedule '0 0 30 2 *' in 'UTC' lies in the past, or on days that do not exist",
        ),
        (
            {"schedules": [{"cron": "0 3 * * 1", "timezone": "Europe/Berln"}]},
            "schedule '0 3 * * 1' in 'Europe/Berln': Value error, Invalid timezone",
        ),
        ({"schedules": [{"cron": "every day"}]}, "Invalid cron string"),
        ({"schedules": [{"interval": 5}]}, "it must have cron or rrule"),
        (
            {"entrypoint": "flows/retunes.py:retune"},
            "runs 'flows/retunes.py:retune'; did you mean 'flows/retune.py:retune'?",
        ),
        ({"parameters": {"refits": 1}}, "refits: Input should be greater than or equal to 2"),
        ({"parameters": {"refit": 3}}, "refit"),
    ],
)
def test_a_deployment_that_cannot_run_is_refused(tmp_path: Path, change, message, capsys) -> None:
    path = written(tmp_path, change)
    assert serve(path, check=True) == USAGE_ERROR
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_two_deployments_of_one_model_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {}, {"name": "again"})
    with pytest.raises(SpecError) as caught:
        load_deployments(path)
    assert str(caught.value).startswith(
        "'retune/lstm-air-quality' and 'retune/again' retune the same model; give each model one"
    )
    other = written(tmp_path, {}, {"name": "other", "parameters": {"model": "other"}})
    assert len(load_deployments(other)) == 2


def test_a_file_without_deployments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="names no deployments"):
        load_deployments(tmp_path / "none.yaml")


def test_what_is_served_is_listed_with_its_next_run(capsys) -> None:
    assert serve(check=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"retune/lstm-air-quality: 0 3 \* \* 1 \(Europe/Berlin\), next \d{4}-\d\d-\d\d 03:00",
        lines[0],
    )
    assert lines[-1] == "tune/own: when asked for"
