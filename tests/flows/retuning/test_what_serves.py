"""Which version serves, if it is rolled back, deleted, or changed by several at once."""

import asyncio
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import mlflow
import pytest
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.arm_comparison import record_arms
from flows.command_line import USAGE_ERROR
from flows.display.summary import Summary
from flows.events import rolled_back
from flows.refit import compare_arms
from flows.retune import retune
from flows.retune_plan import RetuneOptions, locked_plan
from flows.retune_report import Decision, RetuneReport, as_text
from llmpso.errors import (
    BusyError,
    BusyModelError,
    ChampionChangedError,
)
from pm25 import (
    FAST,
    ONLY_THE_SAME,
    aliases,
    arguments,
    other_run_of,
    restless,
    roll_back,
    second_version,
    until,
)
from tasks.store import lock as locks
from tasks.store.lock_targets import STUDY_CLAIM

pytestmark = pytest.mark.usefixtures("blank_pictures")


def test_rolling_back_lets_the_previous_version_serve_again(
    champion, measurements, mlflow_store, capsys, events
) -> None:
    assert roll_back("pm25") == USAGE_ERROR
    assert "no version with the alias @previous" in capsys.readouterr().err
    until(measurements, "2012-12-31")
    client = mlflow.MlflowClient()
    version = mlflow.register_model("models:/pm25/1", "pm25").version
    client.set_registered_model_alias("pm25", "previous", "1")
    client.set_registered_model_alias("pm25", "champion", version)
    assert roll_back("pm25") == 0
    assert EventsWorker.instance()._queue.unfinished_tasks == 0
    assert capsys.readouterr().out == "pm25: version 1 serves again, in place of version 2\n"
    assert aliases(mlflow_store) == {"champion": "1", "previous": "2"}
    assert "rolled_back_at" in client.get_model_version("pm25", "2").tags
    assert roll_back("pm25") == 0
    assert aliases(mlflow_store) == {"champion": "2", "previous": "1"}
    assert [(e["event"], e["payload"]["version"]) for e in events(2)] == [
        ("llmpso.model.restored", "1"),
        ("llmpso.model.restored", "2"),
    ]
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert roll_back("pm25") == 0
    assert "the event for Prefect's automations could not be sent" in capsys.readouterr().err
    assert roll_back("pm2") == USAGE_ERROR
    assert "model 'pm2' is not registered" in capsys.readouterr().err


def test_a_rollback_ends_where_a_proxy_lets_no_event_through(monkeypatch) -> None:
    async def refused(client: PrefectEventsClient) -> None:
        await asyncio.sleep(0.2)
        raise PermissionError("403: no websockets here")

    server = SimpleNamespace(api_healthcheck=lambda: None)
    monkeypatch.setattr("flows.events.get_client", lambda **options: nullcontext(server))
    monkeypatch.setattr("flows.events.EVENT_SECONDS", 1.0)
    monkeypatch.setattr(PrefectEventsClient, "__aenter__", refused)
    EventsWorker.drain_all(timeout=10)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert "could not be sent" in rolled_back("pm25", "2", "1")


def test_the_commands_that_are_shown_can_be_copied_whatever_the_names() -> None:
    report = RetuneReport("house prices", Decision.PROMOTED, "", "2", "1", "run", "sqlite:///a.db")
    assert "\ngo back    llmpso rollback 'house prices'\n" in as_text(report)
    stored = SimpleNamespace(tracking_uri="sqlite:////my models/mlflow.db")
    command = Summary.command_to_open.fget(stored)
    assert command == "mlflow ui --backend-store-uri 'sqlite:////my models/mlflow.db'"


def test_a_rollback_does_not_wait_only_if_it_is_asked_to(
    champion, measurements, mlflow_store, capsys
) -> None:
    second_version()
    with other_run_of("pm25"):
        assert roll_back("pm25") == USAGE_ERROR
        assert "another run retunes 'pm25' at this moment" in (said := capsys.readouterr().err)
        assert said.endswith("; --now rolls back at once, and that run then promotes nothing\n")
        assert aliases(mlflow_store) == {"champion": "2", "previous": "1"}
        assert roll_back("pm25", "--now") == 0
    assert aliases(mlflow_store) == {"champion": "1", "previous": "2"}


def test_what_serves_is_read_when_no_other_run_can_change_it_any_more(
    champion, measurements, mlflow_store
) -> None:
    until(measurements, "2012-12-31")
    is_held = threading.Event()

    def other_run() -> None:
        with other_run_of("pm25"):
            is_held.set()
            time.sleep(1.0)
            second_version()

    thread = threading.Thread(target=other_run)
    thread.start()
    is_held.wait()
    with locked_plan(RetuneOptions(**arguments(champion))) as plan:
        assert plan.champion.version == "2"
    thread.join()


def test_a_run_promotes_nothing_if_another_process_changed_what_serves_meanwhile(
    champion, measurements, mlflow_store, monkeypatch, finds_another
) -> None:
    until(measurements, "2012-12-31")
    second_version()

    def win_and_roll_back(arms, rule):
        assert roll_back("pm25", "--now") == 0
        return replace(compare_arms(arms, rule), at_least=0.5)

    monkeypatch.setattr("flows.retune.compare_arms", win_and_roll_back)
    monkeypatch.setattr("flows.champion_checks.degradation_of", lambda plan: None)
    with pytest.raises(ChampionChangedError, match="version 1 of 'pm25' serves now, .* version 2"):
        retune(**arguments(champion, refits=2, evaluations=4))
    assert aliases(mlflow_store) == {"champion": "1", "previous": "2"}
    (run,) = mlflow.search_runs(
        search_all_experiments=True, filter_string="tags.outcome = 'refused'"
    ).to_dict("records")
    assert (run["status"], run["tags.retunes"]) == ("FAILED", "pm25")
    assert run["tags.reason"].startswith("version 1 of 'pm25' serves now")


def test_a_run_that_slept_while_another_took_it_over_promotes_nothing(
    champion, measurements, mlflow_store, monkeypatch, finds_another
) -> None:
    until(measurements, "2012-12-31")
    monkeypatch.setattr(locks, "LOOK_SECONDS", 0.0)

    def sleep(plan, run, *more):
        compared = record_arms(plan, run, *more)
        for key in run.tags():
            if key.startswith(STUDY_CLAIM):
                run.store.delete_tag(run.run_id, key)
        return compared

    def win(arms, rule):
        return replace(compare_arms(arms, rule), at_least=0.5)

    monkeypatch.setattr("flows.retune.record_arms", sleep)
    monkeypatch.setattr("flows.retune.compare_arms", win)
    monkeypatch.setattr("flows.champion_checks.degradation_of", lambda plan: None)
    with pytest.raises(BusyError, match="another one took its study over"):
        retune(**arguments(champion, refits=2, evaluations=4))
    assert aliases(mlflow_store) == {"champion": "1"}
    found = mlflow.search_runs(search_all_experiments=True)
    own = found[found["tags.retunes"].notna() & (found["status"] != "FINISHED")]
    assert own["status"].tolist() == ["RUNNING"]


def test_a_champion_that_was_deleted_is_said_and_the_one_before_it_compared_with(
    champion, measurements, mlflow_store
) -> None:
    until(measurements, "2012-12-31")
    mlflow.MlflowClient().delete_model_version("pm25", second_version())
    report = retune(**arguments(champion, refits=2, evaluations=4, margin=0.9))
    assert (report.outcome, report.version, report.before) == (Decision.RESTORED, "1", "")
    assert aliases(mlflow_store) == {"champion": "1"}
    (warning,) = report.warnings
    assert "no version of 'pm25' has the alias @champion any more, and version 1" in warning
    assert "compared with @previous, version 1" in warning
    assert f"warning: {warning}" in as_text(report)
    assert mlflow.get_run(report.run_id).data.tags["warning"] == warning
    assert report.headline.startswith("pm25: version 1 serves again: ")


def test_a_new_column_is_said_before_requests_need_it(
    champion, measurements, mlflow_store
) -> None:
    until(measurements, "2012-12-31", humidity=50.0)
    with locked_plan(RetuneOptions(**arguments(champion))) as plan:
        (warning,) = plan.warnings
    assert warning.startswith("1 column is new: humidity; version 1 does not know what is new")


def test_a_champion_that_was_deleted_is_only_restored_if_the_study_finds_no_other(
    champion, measurements, mlflow_store
) -> None:
    until(restless(measurements), "2012-12-31")
    mlflow.MlflowClient().delete_model_version("pm25", second_version())
    report = retune(objective=champion, **ONLY_THE_SAME)
    assert (report.outcome, report.version) == (Decision.RESTORED, "1")
    assert report.refresh is None
    assert aliases(mlflow_store) == {"champion": "1"}


def test_one_model_is_retuned_once_at_a_time(champion, measurements, mlflow_store) -> None:
    until(measurements, "2012-12-31")
    with other_run_of("pm25"), pytest.raises(BusyModelError, match="another run retunes 'pm25'"):
        retune(objective=champion, **FAST)
    with other_run_of("pm25"):
        pass
    assert aliases(mlflow_store) == {"champion": "1"}
