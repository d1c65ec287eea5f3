"""A model in production over time: the first champion, its successors, and who hears of them."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import mlflow
import pandas as pd
import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.utilities.callables import parameter_schema

from flows.refit import compare_arms
from flows.retune import retune
from flows.retune_plan import RetuneOptions, locked_plan
from flows.retune_report import Decision, as_text
from flows.rollback import rollback
from flows.tune import tune
from llmpso.errors import (
    DataError,
    SpecError,
)
from llmpso.retuning.degradation import Degradation
from llmpso.trial import Source
from pm25 import FAST, ONLY_THE_SAME, aliases, arguments, restless, until
from tasks.earlier_studies.find import recorded
from tasks.models.predictions import PREDICTIONS_FILE, PREDICTS_TAG, VERSION_TAG
from tasks.models.registry import Registry
from tasks.store.experiment import open_experiment
from tasks.store.tracker import Tracker

pytestmark = pytest.mark.usefixtures("blank_pictures")


def test_the_form_describes_and_bounds_every_parameter() -> None:
    schema = parameter_schema(retune.fn).properties
    assert all(entry.get("description") for entry in schema.values())
    assert schema["when"]["enum"] == ["always", "drift", "degraded"]
    assert schema["refits"]["minimum"] == 2
    assert schema["confidence"]["exclusiveMaximum"] == 1
    assert "$ref" not in json.dumps(schema)


def test_three_scheduled_runs_register_promote_and_leave_the_champion(
    prefect_server, ridge, measurements, mlflow_store, events
) -> None:
    until(measurements, "2012-06-30")
    first = retune(objective=ridge, **(FAST | {"method": "pso", "evaluations": 1}))
    assert (first.outcome, first.version, first.before) == (Decision.FIRST, "1", "")
    assert first.headline == "pm25: version 1 is its first champion: nothing served before"

    until(measurements, "2012-12-31")
    second = retune(objective=ridge, **(FAST | {"evaluations": 24}))
    assert (second.outcome, second.version, second.before) == (Decision.PROMOTED, "2", "1")
    assert second.verdict.is_win
    assert "more than the 1.0% asked for" in second.reason
    assert second.study.by_source[Source.START] == 1
    assert aliases(mlflow_store) == {"champion": "2", "previous": "1"}

    until(measurements, "2013-06-30")
    third = retune(objective=ridge, **(FAST | {"evaluations": 24}))
    assert (third.outcome, third.version, third.before) == (Decision.KEPT, "2", "2")
    assert third.verdict.at_least <= 0.01
    assert third.reason == f"{third.verdict.reason}; {third.refresh.reason}"
    assert aliases(mlflow_store) == {"champion": "2", "previous": "1"}
    assert "TEMP" in as_text(third)

    history = Registry(mlflow_store, "pm25").promotions()
    assert history["version"].tolist() == [1, 2]
    assert history["outcome"].tolist() == ["first", "promoted"]
    assert history["replaced"].tolist() == ["", "1"]
    client = mlflow.MlflowClient()
    assert client.get_model_version("pm25", "2").tags["kept_because"] == third.reason
    run = client.get_run(third.run_id)
    assert run.data.tags["outcome"] == "kept"
    assert run.data.metrics["serving_error"] == third.degradation.error
    files = {entry.path for entry in client.list_artifacts(third.run_id)}
    assert {"drift", "promotions.json", "report.json"} <= files
    pictures = {entry.path for entry in client.list_artifacts(third.run_id, "drift")}
    assert pictures == {"drift/columns.json", "drift/columns.png"}
    served = mlflow.pytorch.load_model("models:/pm25@champion")
    assert served.in_features == second.study.best_params["lags"]

    compared = compared_runs(third.run_id)
    assert set(compared["champion"].data.metrics) == set(compared["challenger"].data.metrics)
    errors = {role: run.data.metrics["held_out_error"] for role, run in compared.items()}
    assert errors["champion"] == pytest.approx(third.verdict.champion_error, rel=0.01)
    assert errors["challenger"] == pytest.approx(third.verdict.challenger_error, rel=0.01)
    assert all(run.info.run_id in third.compared for run in compared.values())
    assert third.compared in run.data.tags["mlflow.note.content"]

    version = client.get_model_version("pm25", "2")
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    assert model.source_run_id == version.run_id
    (data,) = run.inputs.dataset_inputs
    assert {m.dataset_name for m in model.metrics} == {data.dataset.name} == {"air"}
    assert {"value", "held_out_error"} <= {m.key for m in model.metrics}
    assert "data.example" in data.dataset.source
    assert "pa55word" not in data.dataset.source
    assert "s3cr3t" not in data.dataset.source

    sent = events(6)
    ended = [event for event in sent if event["event"] == "llmpso.study.ended"]
    assert [event["payload"]["run_id"] for event in ended] == [
        report.study.run_id for report in (first, second, third)
    ]
    assert ended[1]["payload"]["best_params"] == second.study.best_params
    outcomes = [(e["event"], e["resource"]["llmpso.version"]) for e in sent if e not in ended]
    names = [f"llmpso.model.{outcome}" for outcome in ("promoted", "promoted", "kept")]
    assert [one for one in outcomes if one[0] in names] == [*zip(names, "122", strict=True)]
    promoted = next(event for event in sent if event["payload"].get("before") == "1")
    assert promoted["resource"]["prefect.resource.id"] == "llmpso.model.pm25"
    assert promoted["payload"]["figures"] == second.figures()
    related = {
        one["prefect.resource.role"]: one["prefect.resource.id"] for one in promoted["related"]
    }
    assert related["study"] == f"llmpso.study.{second.study.run_id}"
    assert related["model-version"] == "llmpso.model-version.pm25/2"
    assert {"flow", "flow-run"} <= related.keys()


def compared_runs(run_id: str) -> dict[str, mlflow.entities.Run]:
    """Champion and challenger of a retuning, by role."""
    runs = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"tags.`mlflow.parentRunId` = '{run_id}' and tags.role != ''",
        output_format="list",
    )
    return {run.data.tags["role"]: run for run in runs}


def test_a_model_is_left_unchanged_until_its_data_drifts(champion, measurements, events) -> None:
    until(measurements, "2012-07-05")
    calm = retune(objective=champion, when="degraded", **FAST)
    assert calm.outcome is Decision.KEPT
    assert calm.study is None
    assert "not degraded" in calm.reason
    drifted = measurements["pm2.5"].where(measurements.index < "2012-04-01", 900.0)
    until(measurements, "2012-08-01", **{"PRES": measurements["PRES"] + 400})
    moved = retune(objective=champion, when="drift", **FAST)
    assert moved.study is not None
    assert moved.drift[0].column == "PRES"
    assert moved.drift[0].has_drifted
    until(measurements, "2012-08-02", **{"pm2.5": drifted * 3})
    worse = retune(objective=champion, when="degraded", **FAST)
    assert worse.degradation.is_degraded
    assert worse.study is not None
    sent = [(event["event"], event["payload"]) for event in events(6)]
    (shifted, *_) = [payload["psi"] for name, payload in sent if name == "llmpso.model.drifted"]
    assert "PRES" in shifted
    reasons = [payload["reason"] for name, payload in sent if name == "llmpso.model.degraded"]
    assert reasons[-1] == worse.degradation.reason


@pytest.mark.parametrize(("off_by", "is_degraded"), [(10.0, False), (90.0, True)])
def test_what_it_predicted_in_production_counts_once_the_truth_is_known(
    champion, measurements, events, off_by, is_degraded
) -> None:
    until(measurements, "2012-07-31")
    new = measurements["pm2.5"].loc["2012-07-01":"2012-07-31"]
    made = pd.DataFrame({"time": new.index.map(str), "prediction": new.shift(-3) + off_by})
    with open_experiment("predictions", "predictions").run(
        "pm25", {}, {PREDICTS_TAG: "pm25", VERSION_TAG: "1"}
    ) as tracker:
        tracker.record_table(PREDICTIONS_FILE, made.dropna())
    report = retune(objective=champion, when="degraded", **FAST)
    assert report.live.n_predictions == len(new) - 3
    assert report.live.error == pytest.approx(off_by)
    assert report.live.is_degraded == (report.study is not None) == is_degraded
    assert f"741 predictions in production had an error of {off_by:.4g}" in as_text(report)
    recorded = mlflow.get_run(report.run_id).data.metrics
    assert recorded["live_error"] == pytest.approx(off_by)
    assert recorded["live_predictions"] == 741
    sent = {event["event"] for event in events(3 if is_degraded else 1)}
    assert ("llmpso.model.degraded" in sent) == is_degraded


def test_a_study_learns_from_the_trials_of_the_ones_before(
    champion, measurements, mlflow_store
) -> None:
    until(measurements, "2012-12-31")
    with locked_plan(RetuneOptions(**arguments(champion))) as plan:
        pass
    assert plan.tune.study.search.start == (dict(plan.champion.params),)
    again = retune(objective=champion, **FAST)
    (first,) = recorded(Tracker(mlflow_store, "1", again.study.run_id)).studies
    assert len(first.trials) == 8
    assert first.metric == plan.tune.objective.metric
    assert [each["reference"] for each in again.study.began_from] == [first.reference]


def test_a_winner_that_is_worse_than_what_serves_is_not_promoted(
    champion, measurements, mlflow_store, monkeypatch
) -> None:
    until(measurements, "2012-12-31")
    monkeypatch.setattr(
        "flows.retune.compare_arms",
        lambda arms, rule: replace(compare_arms(arms, rule), at_least=0.5),
    )
    monkeypatch.setattr(
        "flows.champion_checks.degradation",
        lambda now, recorded, confidence: Degradation(0.001, 0.001, recorded),
    )
    report = retune(objective=champion, **(FAST | {"seed": 5, "method": "pso"}))
    assert report.outcome is Decision.KEPT
    assert "the model that serves still has the lower error" in report.reason
    assert aliases(mlflow_store) == {"champion": "1"}


def test_what_serves_is_trained_again_when_its_data_changed_and_nothing_better_is_found(
    champion, measurements, mlflow_store, events, monkeypatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("flows.retune.tell", lambda block, subject, text: told.append(subject))
    until(restless(measurements), "2012-12-31")
    report = retune(objective=champion, when="degraded", **ONLY_THE_SAME)
    assert (report.outcome, report.version, report.before) == (Decision.REFRESHED, "2", "1")
    refresh = report.refresh
    assert report.reason == refresh.reason
    assert report.reason.startswith(
        "the champion's configuration, trained again on the newest data, is "
        f"{refresh.improvement:.1%} better than the version that serves, at least "
    )
    errors = f"error {refresh.challenger_error:.4g} against {refresh.champion_error:.4g}"
    assert f"({errors}; 3 seeds, {refresh.n_blocks} stretches of new data)" in report.reason
    assert refresh.champion_error == pytest.approx(report.degradation.error)
    assert aliases(mlflow_store) == {"champion": "2", "previous": "1"}
    assert told == ["retune refreshed: pm25"]
    assert "go back    llmpso rollback pm25" in as_text(report)

    registry = Registry(mlflow_store, "pm25")
    old, new = (registry.version(number).tags for number in ("1", "2"))
    assert json.loads(new["params"]) == json.loads(old["params"]) == report.params
    assert float(new["error"]) < 0.9 * refresh.champion_error
    history = registry.promotions()
    assert history["outcome"].tolist() == ["first", "refreshed"]
    assert history["error"].tolist() == [old["error"], new["error"]]
    run = mlflow.get_run(report.run_id).data
    assert run.metrics["serving_error"] == refresh.champion_error
    assert run.metrics["refreshed_error"] == refresh.challenger_error
    assert run.metrics["refresh_improvement_at_least"] == refresh.at_least
    assert compared_runs(report.run_id).keys() == {"champion"}
    sent = next(e for e in events(3) if e["event"] == "llmpso.model.promoted")
    assert sent["payload"]["outcome"] == "refreshed"
    assert sent["payload"]["params"] == report.params

    until(restless(measurements), "2013-02-28")
    calm = retune(objective=champion, when="degraded", **ONLY_THE_SAME)
    assert calm.degradation.recorded == float(new["error"])
    assert calm.study is None
    assert not any(column.has_drifted for column in calm.drift if column.column == "pm2.5")
    rollback("pm25")
    assert aliases(mlflow_store) == {"champion": "1", "previous": "2"}


def test_what_serves_stays_as_it_was_trained_where_its_data_is_the_same(
    champion, measurements, mlflow_store
) -> None:
    until(measurements, "2012-12-31")
    report = retune(objective=champion, **ONLY_THE_SAME)
    assert report.outcome is Decision.KEPT
    assert report.reason == (
        "the search found nothing better than the champion's own configuration; "
        f"{report.refresh.reason}"
    )
    assert f"against {report.refresh.champion_error:.4g}" in report.reason
    assert aliases(mlflow_store) == {"champion": "1"}


def test_what_serves_is_trained_again_where_a_challenger_does_not_beat_its_configuration(
    champion, measurements, mlflow_store, events, finds_another
) -> None:
    until(restless(measurements), "2012-12-31")
    report = retune(objective=champion, **(ONLY_THE_SAME | {"margin": 0.1}))
    assert (report.outcome, report.version) == (Decision.REFRESHED, "2")
    assert not report.verdict.is_win
    assert report.verdict.reason in as_text(report)
    served = mlflow.pytorch.load_model("models:/pm25@champion")
    assert served.in_features == report.params["lags"] != report.study.best_params["lags"]
    assert compared_runs(report.run_id).keys() == {"champion", "challenger"}
    tags = Registry(mlflow_store, "pm25").version("2").tags
    assert json.loads(tags["params"]) == report.params
    sent = next(e for e in events(3) if e["event"] == "llmpso.model.promoted")
    assert sent["payload"]["params"] == report.params


class Inbox(HTTPServer):
    """Where notifications arrive."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Inbox.Handler)
        self.messages: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            length = int(self.headers["Content-Length"])
            self.server.messages.append(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass


@pytest.fixture
def inbox(prefect_server):
    server = Inbox()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    CustomWebhookNotificationBlock(
        name="team",
        url=f"http://127.0.0.1:{server.server_port}",
        json_data={"subject": "{{subject}}", "body": "{{body}}"},
    ).save("team", overwrite=True)
    yield server.messages
    server.shutdown()


def test_people_hear_of_a_promotion_a_failure_and_the_end_of_the_money(
    prefect_server, ridge, measurements, inbox
) -> None:
    until(measurements, "2012-06-30")
    block = "custom-webhook/team"
    retune(objective=ridge, notify=block, **(FAST | {"max_seconds": 0.001}))
    (first,) = inbox
    assert first["subject"] == "retune first: pm25 (stopped early: the time limit was reached)"
    assert first["body"].startswith("pm25: version 1 is its first champion")
    with pytest.raises(DataError):
        retune(objective=ridge, notify=block, **FAST)
    assert inbox[-1]["subject"].startswith("retune failed: ")
    assert "there are 0 rows since" in inbox[-1]["body"]
    tune(ridge, notify=block, method="pso", evaluations=4, particles=4)
    assert inbox[-1]["subject"] == "tune finished: pm25"
    assert "all evaluations were used" in inbox[-1]["body"]
    with pytest.raises(
        SpecError, match="notify is 'custom-webhook/missing', which cannot be load"
    ):
        retune(objective=ridge, notify="custom-webhook/missing", **FAST)


def test_a_week_more_of_the_same_data_costs_a_handful_of_trainings(
    prefect_server, ridge, measurements, champion
) -> None:
    until(measurements, "2012-07-07")
    report = retune(objective=ridge, **(FAST | {"evaluations": 40, "patience": "auto"}))
    assert report.study.stop_reason == "no_gain"
    assert report.study.evaluations < 10
    assert report.outcome in {Decision.KEPT, Decision.REFRESHED}
