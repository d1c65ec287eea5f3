"""A model in production over time: the first champion, its successors, and what is refused."""

import json
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from inspect import signature
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import parameter_schema

from flows import retune as retuning
from flows.command_line import USAGE_ERROR, joined_app, run
from flows.refit import compare_arms
from flows.retune import retune
from flows.retune_plan import RetuneOptions, check_retune, locked_plan
from flows.retune_report import Decision, as_text
from flows.tune import tune
from llmpso.errors import (
    BusyModelError,
    ChampionChangedError,
    DataError,
    LLMPSOError,
    RegistryError,
    SpecError,
    StorageError,
)
from llmpso.objectives import registry
from llmpso.retuning.degradation import Degradation
from llmpso.trial import Source
from tasks.experiment import open_experiment
from tasks.iterate import iterate
from tasks.lock import Lock
from tasks.memory import recorded
from tasks.predictions import PREDICTIONS_FILE, PREDICTS_TAG, VERSION_TAG
from tasks.registry import Registry
from tasks.tracker import Tracker

pytestmark = pytest.mark.usefixtures("blank_pictures")

OBJECTIVE = '''
"""PM2.5 three hours ahead by ridge regression: an exact fit in milliseconds."""

import mlflow
import numpy as np
import pandas as pd
import torch
from llmpso import Evaluation, Float, Integer, SearchSpace
from llmpso.objectives.base import HeldOut

HORIZON = 3


class Ridge:
    name = "pm25"
    metric = "validation RMSE (µg/m³)"
    description = "Ridge regression forecasts PM2.5 three hours ahead from its last values."
    space = SearchSpace({"lags": Integer(1, 12), "penalty": Float(1.0, 1e9, log=True)})

    @property
    def frame(self):
        return pd.read_csv("data.csv", index_col="time", parse_dates=True)

    @property
    def n_held_out(self):
        return len(self.frame) // 5

    def parts(self, lags):
        values = self.frame["pm2.5"].to_numpy() / 100
        ends = np.arange(12, len(values) - HORIZON)
        inputs = np.stack([values[ends - lag] for lag in range(lags)], axis=1)
        first, second = int(0.6 * len(ends)), len(ends) - self.n_held_out
        cuts = (slice(0, first), slice(first, second), slice(second, None))
        return [(inputs[cut], values[ends + HORIZON][cut]) for cut in cuts]

    def describe_data(self):
        return mlflow.data.from_pandas(
            self.frame, source="https://me:pa55word@data.example/pm25.csv?token=s3cr3t", name="air"
        )

    def evaluate(self, params, *, fidelity, seed):
        (x, y), (valid_x, valid_y), _ = self.parts(params["lags"])
        rows = np.random.default_rng(seed).choice(len(x), len(x) * 4 // 5, replace=False)
        a = x[rows].T @ x[rows] + params["penalty"] * np.eye(x.shape[1])
        weights = np.linalg.solve(a, x[rows].T @ y[rows])
        model = torch.nn.Linear(len(weights), 1, bias=False)
        model.weight.data = torch.tensor(weights, dtype=torch.float32)[None]
        error = 100 * np.sqrt(np.mean((valid_x @ weights - valid_y) ** 2))
        return Evaluation(float(error), model=model)

    def held_out(self, model):
        x, y = self.parts(model.in_features)[2]
        with torch.no_grad():
            forecasts = model(torch.tensor(x, dtype=torch.float32))[:, 0].numpy()
        return HeldOut((100 * (forecasts - y)) ** 2, block=48, squared=True)

    def live_losses(self, predictions, after):
        made = predictions.set_index(pd.to_datetime(predictions["time"]))["prediction"]
        came = self.frame["pm2.5"].shift(-HORIZON)[after:].iloc[1:]
        losses = (made - came).dropna() ** 2
        return HeldOut(losses.to_numpy(), block=48, squared=True) if len(losses) else None
'''


def roll_back(*arguments: str) -> int:
    return run(joined_app(), ["rollback", *arguments])


@pytest.fixture
def ridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_store: str) -> str:
    """The import path of the objective above."""
    (tmp_path / "ridge_objective.py").write_text(OBJECTIVE)
    monkeypatch.syspath_prepend(tmp_path)
    return "ridge_objective:Ridge"


@pytest.fixture(scope="session")
def measurements() -> pd.DataFrame:
    """A series much like hourly PM2.5 and weather in Beijing, the same in every run."""
    rng, n = np.random.default_rng(0), 43_000
    noise = rng.standard_normal((n, 4)) * [12, 1, 1, 1]
    values = np.zeros((n, 4))
    for i in range(1, n):
        values[i] = 0.96 * values[i - 1] + noise[i]
    index = pd.date_range("2010-01-02", periods=n, freq="h", name="time")
    frame = pd.DataFrame(values, index, ["pm2.5", "DEWP", "TEMP", "PRES"])
    frame["pm2.5"] = (100 + frame["pm2.5"]).clip(lower=1)
    frame["TEMP"] += 15 * np.sin(2 * np.pi * np.arange(n) / 8766)
    return frame.assign(cbwd=np.where(frame["DEWP"] > 0, "NW", "SE"))


def until(measurements: pd.DataFrame, day: str, **change) -> None:
    """Write the year of data that ends on a day, as the feed would have it then."""
    measurements.loc[:day].iloc[-8760:].assign(**change).to_csv("data.csv")


def aliases(store: str) -> dict[str, str]:
    found = mlflow.MlflowClient(store).get_registered_model("pm25").aliases
    return {alias: str(version) for alias, version in found.items()}


FAST = {"advisor": "none", "workers": 2, "refits": 3, "particles": 4, "evaluations": 8}
FAST |= {"synchronous": True}


@pytest.fixture(scope="module")
def first_champion(prefect_server, measurements, empty_database, tmp_path_factory) -> Path:
    """The folder of a run that registered a champion in the middle of 2012."""
    folder = tmp_path_factory.mktemp("champion")
    shutil.copy(empty_database, folder)
    (folder / "ridge_objective.py").write_text(OBJECTIVE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        until(measurements, "2012-06-30")
        retune(objective="ridge_objective:Ridge", **FAST)
    sys.modules.pop("ridge_objective")
    return folder


@pytest.fixture
def champion(first_champion: Path, ridge: str, mlflow_store: str, measurements) -> str:
    """A store of the test's own with that champion; the import path of its objective."""
    shutil.copy(first_champion / "mlflow.db", "mlflow.db")
    until(measurements, "2012-06-30")
    assert aliases(mlflow_store) == {"champion": "1"}
    return ridge


@pytest.fixture
def finds_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a study end with another configuration than the champion's: both are compared."""
    tuned, another = retuning._tuned, {"lags": 2, "penalty": 10.0}
    monkeypatch.setattr(
        retuning, "_tuned", lambda plan, run: replace(tuned(plan, run), best_params=another)
    )


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
    third = retune(objective=ridge, **(FAST | {"evaluations": 12}))
    assert (third.outcome, third.version, third.before) == (Decision.KEPT, "2", "2")
    assert third.verdict.at_least <= 0.01
    assert third.reason == third.verdict.reason
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


def other_run_of(model: str) -> Lock:
    """The lock of another run that retunes a model."""
    return Registry(mlflow.get_tracking_uri(), model).retuning_lock()


def second_version(**tags: str) -> str:
    """A second version, which serves in place of the first."""
    client = mlflow.MlflowClient()
    tags = client.get_model_version("pm25", "1").tags | tags
    version = mlflow.register_model("models:/pm25/1", "pm25", tags=tags).version
    client.set_registered_model_alias("pm25", "previous", "1")
    client.set_registered_model_alias("pm25", "champion", version)
    return str(version)


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


def arguments(objective: str, **change) -> dict:
    defaults = {name: p.default for name, p in signature(retune.fn).parameters.items()}
    return defaults | FAST | {"objective": objective} | change


@pytest.mark.parametrize(
    ("change", "data", "message"),
    [
        ({"model": "pm52"}, {}, "model 'pm52' is not registered at .*; did you mean 'pm25'?"),
        ({"min_new_rows": 9000}, {}, "there are 4416 rows since .*; at least 9000 are asked for"),
        ({}, {"TEMP": None}, "column 'TEMP' is gone, or does not vary any more"),
        ({}, {"TEMP": "warm"}, "column 'TEMP' held numbers and now holds text"),
    ],
)
def test_what_cannot_be_retuned_is_refused_and_the_champion_stays(
    champion, measurements, mlflow_store, change, data, message
) -> None:
    until(measurements, "2012-12-31", **data)
    if data.get("TEMP", 1) is None:
        pd.read_csv("data.csv").drop(columns="TEMP").to_csv("data.csv", index=False)
    with pytest.raises(LLMPSOError, match=message):
        check_retune(RetuneOptions(**arguments(champion, **change)))
    assert aliases(mlflow_store) == {"champion": "1"}


def test_old_data_is_refused(champion, measurements) -> None:
    with pytest.raises(DataError, match="there are 0 rows since 2012-06-30T23:00:00.*coming in"):
        check_retune(RetuneOptions(**arguments(champion)))


def test_a_champion_whose_artifact_is_gone_is_refused(
    champion, measurements, mlflow_store
) -> None:
    until(measurements, "2012-12-31")
    client = mlflow.MlflowClient()
    logged = client.get_model_version("pm25", "1").source.removeprefix("models:/")
    model = Path(client.get_logged_model(logged).artifact_location)
    model.rename(model.with_name("gone"))
    try:
        with pytest.raises(RegistryError, match="artifact of models:/pm25/1 cannot be loaded"):
            check_retune(RetuneOptions(**arguments(champion)))
    finally:
        model.with_name("gone").rename(model)
    assert aliases(mlflow_store) == {"champion": "1"}


@pytest.mark.slow
def test_a_tracking_server_that_becomes_unavailable_in_mid_run_changes_nothing(
    champion, measurements, mlflow_store, monkeypatch, services, finds_another
) -> None:
    until(measurements, "2012-12-31")
    address = f"http://127.0.0.1:{(port := services.free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    server = services.start([*command, "--backend-store-uri", mlflow_store])

    def win_and_lose_the_server(arms, rule):
        services.stop(server, signal.SIGKILL)
        return replace(compare_arms(arms, rule), at_least=0.5)

    services.wait_for(f"{address}/health")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    mlflow.set_tracking_uri(address)
    monkeypatch.setattr("flows.retune.compare_arms", win_and_lose_the_server)
    with pytest.raises(StorageError, match=f"MLflow at {address} stopped answering .*as it"):
        retune(**arguments(champion, evaluations=4, refits=2))
    assert aliases(mlflow_store) == {"champion": "1"}


def test_a_run_that_breaks_leaves_the_champion_and_says_so(
    champion, measurements, mlflow_store, monkeypatch
) -> None:
    def broken(*args, **kwargs):
        raise RuntimeError("the disk is full")

    until(measurements, "2012-12-31")
    monkeypatch.setattr("flows.retune.refit_arms", broken)
    with pytest.raises(RuntimeError, match="the disk is full"):
        retune(objective=champion, **FAST)
    assert aliases(mlflow_store) == {"champion": "1"}
    runs = mlflow.search_runs(search_all_experiments=True)
    assert set(runs[runs["tags.retunes"] == "pm25"]["status"]) == {"FINISHED", "FAILED"}


@pytest.mark.parametrize(("has_fingerprint", "n_reused"), [(True, 4), (False, 0)])
def test_an_interrupted_run_continues_if_its_objective_has_a_fingerprint(
    prefect_server, champion, measurements, monkeypatch, has_fingerprint, n_reused
) -> None:
    sys.modules.pop("ridge_objective", None)
    registry._built.cache_clear()
    if has_fingerprint:
        text = Path("ridge_objective.py").read_text()
        Path("ridge_objective.py").write_text(f'{text}\n    fingerprint = "data of 2012"\n')

    def broken(number: int, *more):
        if number == 1:
            raise RuntimeError("the power went")
        return iterate(number, *more)

    until(measurements, "2012-12-31")
    with monkeypatch.context() as patch:
        patch.setattr("flows.tracked_trainings.iterate", broken)
        with pytest.raises(RuntimeError, match="the power went"):
            retune(objective=champion, **FAST)
    assert retune(objective=champion, **FAST).study.reused == n_reused


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


def test_one_model_is_retuned_once_at_a_time(champion, measurements, mlflow_store) -> None:
    until(measurements, "2012-12-31")
    with other_run_of("pm25"), pytest.raises(BusyModelError, match="another run retunes 'pm25'"):
        retune(objective=champion, **FAST)
    with other_run_of("pm25"):
        pass
    assert aliases(mlflow_store) == {"champion": "1"}


def test_an_objective_without_a_hold_out_set_is_refused(mlflow_store, bowl) -> None:
    with pytest.raises(SpecError, match=r"objective Bowl has no held_out\(model\)"):
        check_retune(RetuneOptions(**arguments(bowl)))


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
