"""The deployments of the file can run, and what could not is refused in one line."""

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from flows.command_line import USAGE_ERROR, joined_app, run
from flows.deployment_file import load_deployments
from flows.serve import DEPLOYED, FILE, _runner_deployment, serve
from llmpso.errors import SpecError
from llmpso.user_code.safe_path import SAFE_PATH


def listed(*files: Path) -> int:
    return run(joined_app(), ["serve", *map(str, files), "--check"])


def test_every_deployment_of_the_file_can_run() -> None:
    deployments = load_deployments(FILE)
    assert [deployment.full_name for deployment in deployments] == [
        "retune/lstm-air-quality",
        "retune/cnn-textures",
        "retune/own",
        "tune/lstm-air-quality",
        "tune/cnn-textures",
        "tune/own",
        "predict/lstm-air-quality",
    ]
    for deployment in deployments[:-1]:
        entry = deployment.entry
        assert entry.concurrency_limit.limit == 1
        assert entry.concurrency_limit.collision_strategy.value == "CANCEL_NEW"
        assert entry.tags
        assert entry.description
        for schedule in entry.schedules:
            assert schedule.timezone == "Europe/Berlin"
            assert schedule.following() > datetime.now(UTC)


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
            "deployment 'lstm-air-quality': schedules.0: schedule "
            "'FREQ=WEEKLY;UNTIL=20200101T000000' in 'UTC' is in the past",
        ),
        (
            {"schedules": [{"cron": "0 0 30 2 *"}]},
            "deployment 'lstm-air-quality': schedules.0: schedule '0 0 30 2 *' in 'UTC' is in the "
            "past, or on days that do not exist",
        ),
        (
            {"schedules": [{"cron": "0 3 * * 1", "timezone": "Europe/Berln"}]},
            "deployment 'lstm-air-quality': schedules.0.timezone is 'Europe/Berln'; did you mean "
            "'Europe/Berlin'?",
        ),
        (
            {"schedules": [{"cron": "@daily"}, {"cron": "@daily", "timezone": "my time"}]},
            "schedules.1.timezone is 'my time'; it must be one such as 'Europe/Berlin'",
        ),
        ({"schedules": [{"cron": "@daily", "timezone": ""}]}, "schedules.0.timezone is ''; it"),
        (
            {"schedules": [{"cron": "every day"}]},
            "deployment 'lstm-air-quality': schedules.0.cron is 'every day'; it must have five "
            "fields: minute, hour, day, month, day of the week, each within its range",
        ),
        ({"schedules": [{"cron": "0 25 * * *"}]}, "schedules.0.cron is '0 25 * * *'; it must"),
        ({"schedules": [{"cron": ""}]}, "schedules.0.cron is ''; it must have five fields"),
        ({"schedules": [{"cron": "0 0 3 * * *"}]}, "cron is '0 0 3 * * *'; it must have five"),
        ({"schedules": [{"interval": 0.5}]}, "interval is 0.5; it must run every minute at most"),
        ({"schedules": [{"interval": -60}]}, "interval is -60; it must run every minute at most"),
        ({"schedules": [{"rrule": "FREQ=SECONDLY"}]}, "it must run every hour at most; minutes"),
        (
            {"schedules": [{"rrule": "FREQ=DALY"}]},
            "schedules.0.rrule is 'FREQ=DALY'; it must be a recurrence rule (invalid 'FREQ'",
        ),
        (
            {"entry_point": "flows/tune.py:tune"},
            "entry_point is not read by llmpso serve; did",
        ),
        ({"entrypoint": None}, "entrypoint is None"),
        ({"parameters": {"evaluations": 0}}, "evaluations is 0; it must be at least 1"),
        ({"schedules": [{"timezone": "UTC"}]}, "exactly one of cron, interval and rrule"),
        (
            {"schedules": [{"cron": "@daily", "interval": 60}]},
            "exactly one of cron, interval and rrule",
        ),
        (
            {"schedules": [{"cron": "@daily", "activ": False}]},
            "schedules.0.activ is not read by llmpso serve; did you mean 'active'?",
        ),
        ({"schedules": [{"crn": "@daily"}]}, "schedules.0.crn is not read by llmpso serve; did "),
        ({"schedule": {"cron": "@daily"}}, "has both schedule and schedules"),
        (
            {"schedules": [{"cron": "@daily", "parameters": {"refits": 1}}]},
            "refits is 1; it must be at least 2",
        ),
        (
            {"schedules": [{"cron": "@daily", "parameters": {"evaluatons": 7}}]},
            "there is no option 'evaluatons'; did you mean 'evaluations'?",
        ),
        ({"parameters": {"csv": "{{ $NO_SUCH }}/x.csv"}}, "NO_SUCH is not set"),
        (
            {"parameters": {"csv": "{{ prefect.variables.file }}"}},
            "holds {{ prefect.variables.file }}, which only `prefect deploy` fills in",
        ),
        ({"triggers": [{"enabled": "perhaps"}]}, "triggers.0"),
        ({"triggers": {"enabled": True}}, "triggers is {'enabled': True}"),
        (
            {"schedules": [{"interval": 60, "anchor_date": date(2026, 1, 1)}]},
            "holds a value that is no text or number; quote it",
        ),
        ({"name": ""}, "deployment '': name is ''"),
        ({"concurrency_limit": "many"}, "concurrency_limit"),
        (
            {"entrypoint": "flows/retunes.py:retune"},
            "runs 'flows/retunes.py:retune'; did you mean 'flows/retune.py:retune'?",
        ),
        (
            {"parameters": {"refits": 1}},
            "refits is 1; it must be at least 2",
        ),
        ({"parameters": {"refit": 3}}, "refit"),
    ],
)
def test_a_deployment_that_cannot_run_is_refused(tmp_path: Path, change, message, capsys) -> None:
    path = written(tmp_path, change)
    assert listed(path) == USAGE_ERROR
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it must hold a list of them under deployments"),
        ("deployments:\n", "it must hold a list of them under deployments"),
        ("deployments: []\n", "it must hold a list of them under deployments"),
        ("- a\n", "it must hold a list of them under deployments"),
        ("deployments: {a: {}}\n", "it must hold a list of them under deployments"),
        ("deployments:\n- {name: a, name: b}\n", 'line 2: found duplicate key "name"; keep one'),
        ("deployments: &d [*d]\n", "it must have a name and an entrypoint"),
    ],
)
def test_a_file_that_says_nothing_or_one_thing_twice_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "prefect.yaml").write_text(content)
    with pytest.raises(SpecError) as caught:
        load_deployments(tmp_path / "prefect.yaml")
    assert message in str(caught.value)


def test_what_one_deployment_shares_with_another_by_reference_is_read(tmp_path: Path) -> None:
    (tmp_path / "prefect.yaml").write_text(
        "shared: &shared {objective: rastrigin, advisor: none}\n"
        "deployments:\n"
        "- name: a\n"
        "  entrypoint: flows/tune.py:tune\n"
        "  parameters: {<<: *shared, evaluations: 5}\n",
        encoding="utf-8-sig",
    )
    (deployment,) = load_deployments(tmp_path / "prefect.yaml")
    assert deployment.entry.parameters == {
        "objective": "rastrigin",
        "advisor": "none",
        "evaluations": 5,
    }


def test_without_a_clone_the_file_must_be_named(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr("flows.serve.FILE", tmp_path / "installed" / "deployments" / FILE.name)
    monkeypatch.chdir(tmp_path)
    assert listed() == USAGE_ERROR
    error = capsys.readouterr().err
    assert "name a YAML file with your deployments" in error
    assert error.count("\n") == 1


def test_what_was_installed_finds_the_clone_that_it_is_started_in(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("flows.serve.FILE", tmp_path / "installed" / "deployments" / FILE.name)
    monkeypatch.chdir(FILE.parents[1])
    assert listed() == 0


def test_runs_do_not_search_the_working_directory_first(monkeypatch) -> None:
    found = []
    monkeypatch.setattr("flows.serve.local_prefect_server", lambda: nullcontext("http://a/api"))
    monkeypatch.setattr(
        "flows.serve.serve_deployments", lambda *_, limit: found.append(os.environ[SAFE_PATH])
    )
    serve()
    assert found == ["1"]
    assert SAFE_PATH not in os.environ


def test_a_run_finds_our_flows_beside_a_users(tmp_path) -> None:
    for name in ("flows.py", "tasks.py", "queue.py", "selectors.py", "mlflow/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise ImportError('a module of the user')")
    code = (
        "from prefect.flows import load_flow_from_entrypoint as load\n"
        f"assert load({f'{DEPLOYED}:tune'!r}, use_placeholder_flow=False).name == 'tune'"
    )
    command = [sys.executable, "-P", "-c", code]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)


def test_what_is_served_is_listed_with_its_next_run(capsys) -> None:
    assert listed() == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"retune/lstm-air-quality: 0 3 \* \* 1 \(Europe/Berlin\), next \d{4}-\d\d-\d\d 03:00",
        lines[0],
    )
    assert lines[-2:] == ["tune/own: when asked for", "predict/lstm-air-quality: when asked for"]


def test_every_way_to_write_a_schedule_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"schedules": None, "schedule": {"cron": "@daily", "timezone": "Europe/Berlin"}},
        {
            "name": "own",
            "parameters": {"model": "own"},
            "schedules": [
                {"interval": 3600, "anchor_date": "2026-01-01T00:30:00+00:00"},
                {"interval": "PT6H"},
                {"rrule": "FREQ=WEEKLY;BYDAY=MO", "active": False},
                {"cron": "0 3 13 * 5", "day_or": False, "slug": "friday-13"},
            ],
        },
    )
    single, several = load_deployments(path)
    assert [schedule.rule for schedule in single.entry.schedules] == ["@daily"]
    hourly, six, weekly, friday = several.entry.schedules
    assert hourly.following().minute == 30
    assert six.as_schedule().interval == timedelta(hours=6)
    assert not weekly.as_schedule().active
    assert friday.following().weekday() == 4
    assert friday.following().day == 13


def test_a_schedules_own_parameters_reach_its_runs(tmp_path: Path, capsys) -> None:
    nightly = {"cron": "0 3 * * *", "slug": "nightly", "parameters": {"evaluations": 77}}
    path = written(tmp_path, {"schedules": [nightly]})
    assert listed(path) == 0
    assert 'with {"evaluations": 77}' in capsys.readouterr().out
    (schedule,) = load_deployments(path)[0].entry.schedules
    assert schedule.as_schedule().parameters == {"evaluations": 77}
    assert schedule.as_schedule().slug == "nightly"


def test_a_schedule_that_retunes_anothers_model_is_refused(tmp_path: Path) -> None:
    other = {"cron": "@daily", "parameters": {"model": "mine"}}
    path = written(
        tmp_path, {"schedules": [other]}, {"name": "b", "parameters": {"model": "mine"}}
    )
    with pytest.raises(SpecError, match="retune the same model"):
        load_deployments(path)


def test_an_event_starts_a_deployment(tmp_path: Path, capsys) -> None:
    trigger = {
        "expect": ["llmpso.model.degraded"],
        "parameters": {"model": "{{ event.payload.model }}"},
    }
    path = written(tmp_path, {"schedules": None, "triggers": [trigger]})
    assert listed(path) == 0
    assert capsys.readouterr().out == "retune/lstm-air-quality: after llmpso.model.degraded\n"
    served = _runner_deployment(load_deployments(path)[0])
    assert [one.parameters for one in served.triggers] == [trigger["parameters"]]


def test_variables_of_the_environment_are_filled_in(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DATA_FOLDER", "/mnt/sensors")
    parameters = {"csv": "{{ $DATA_FOLDER }}/load.csv", "target": "load"}
    path = written(tmp_path, {"parameters": parameters})
    (deployment,) = load_deployments(path)
    assert deployment.entry.parameters["csv"] == "/mnt/sensors/load.csv"


def test_a_name_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {}, {"parameters": {"model": "other"}})
    with pytest.raises(SpecError, match="2 deployments are named 'retune/lstm-air-quality'"):
        load_deployments(path)


def test_a_paused_deployment_says_so(tmp_path: Path, capsys) -> None:
    assert listed(written(tmp_path, {"paused": True})) == 0
    assert "retune/lstm-air-quality: paused: " in capsys.readouterr().out
