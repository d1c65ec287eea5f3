"""An average of the best models: registered if it is better, served, retuned and rolled back."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest

from flows import refit
from flows.display.summary_text import as_text
from flows.notebook import load_study
from flows.predict import predict
from flows.refit import CHALLENGER
from flows.retune import retune
from flows.retune_plan import _warm_started
from flows.retune_report import Decision
from flows.rollback import rollback
from flows.tune import tune
from flows.tune_plan import TuneOptions, prepare
from llmpso.ensembles.outcome import Member
from llmpso.errors import SpecError
from llmpso.goals import Goals
from tasks.models.find_champion import Champion
from tasks.models.registry import MEMBERS_TAG
from tasks.records.reuse import reused_for

pytestmark = pytest.mark.usefixtures("blank_pictures")

OBJECTIVE = '''
"""The sum of four columns, by models that see one each: their average must be better."""

import numpy as np
from sklearn.linear_model import LinearRegression
from llmpso import Evaluation, Float, Integer, SearchSpace


def rows(seed, n, noise=0.1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    return x, x.sum(axis=1) + noise * rng.normal(size=n)


class Sum:
    name = "sum"
    metric = "validation RMSE"
    description = "A model of one column of four predicts their sum."
    space = SearchSpace({"column": Integer(0, 3), "shrink": Float(0.8, 1.2)})
    train, valid, newest = rows(0, 400), rows(1, 400), rows(2, 400)

    def evaluate(self, params, *, fidelity, seed):
        x, y = self.train
        model = LinearRegression().fit(x * np.eye(4)[params["column"]], y * params["shrink"])
        predictions, truth = self.validated(model)
        return Evaluation(float(np.sqrt(np.mean((predictions - truth) ** 2))), model=model)

    def validated(self, model):
        return model.predict(self.valid[0]), self.valid[1]

    def held_out(self, model):
        return (model.predict(self.newest[0]) - self.newest[1]) ** 2
'''
FAST = {"method": "pso", "particles": 6, "workers": 1, "advisor": "none", "memory": "off"}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_store: str) -> str:
    """The import path of the objective above."""
    (tmp_path / "sum_objective.py").write_text(OBJECTIVE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return "sum_objective:Sum"


def load(trial):
    return mlflow.sklearn.load_model(trial.links["model"])


def version(store: str, number: str = "1"):
    return mlflow.MlflowClient(store).get_model_version("sum", number)


def test_the_average_is_registered_and_recorded_and_made_of_a_finished_study(
    prefect_server, mlflow_store, own
) -> None:
    single = tune(own, evaluations=12, **FAST)
    assert single.ensemble is None
    summary = tune(own, evaluations=12, ensemble=3, **FAST)
    assert summary.run_id == single.run_id
    assert summary.reused == 12
    outcome = summary.ensemble_outcome
    assert outcome.accepted
    assert 2 <= len(outcome.members) <= 3
    assert outcome.held_out.ensemble < outcome.held_out.single
    assert outcome.test.ensemble < outcome.test.single

    assert summary.model == "sum/2"
    model = mlflow.sklearn.load_model("models:/sum/2")
    row = np.ones((1, 4))
    study = load_study(summary.run_id)
    assert len(study.trials) == 12
    expected = sum(
        member.weight * load(study.trials[member.number]).predict(row)
        for member in outcome.members
    )
    assert model.predict(row) == pytest.approx(expected)
    assert json.loads(version(mlflow_store, "2").tags[MEMBERS_TAG])[0]["params"]

    run = mlflow.get_run(summary.run_id)
    assert run.data.metrics["ensemble_held_out_loss"] == outcome.held_out.ensemble
    assert run.data.metrics["single_test_loss"] == outcome.test.single
    assert run.data.tags["ensemble_outcome"] == outcome.reason
    assert json.loads(run.data.tags["ensemble_weights"]) == outcome.weights
    assert f"ensemble          registered: {outcome.reason}" in as_text(summary)
    assert "| validation, decides |" in run.data.tags["mlflow.note.content"]
    record = mlflow.artifacts.load_dict(f"runs:/{summary.run_id}/summary.json")
    assert record["ensemble"]["members"][0]["number"] == outcome.members[0].number


def test_an_ensemble_is_retuned_promoted_rolled_back_and_predicts(
    prefect_server, mlflow_store, own
) -> None:
    options = FAST | {"refits": 2, "min_new_rows": 0, "evaluations": 8}
    first = retune(objective=own, **options)
    assert first.outcome is Decision.FIRST
    assert MEMBERS_TAG not in version(mlflow_store).tags
    second = retune(objective=own, ensemble=4, **options)
    assert second.outcome is Decision.PROMOTED
    members = json.loads(version(mlflow_store, "2").tags[MEMBERS_TAG])
    assert 2 <= len(members) <= 4
    assert json.loads(version(mlflow_store, "2").tags["params"]) == members[0]["params"]
    assert second.verdict.challenger_error < second.verdict.champion_error

    Path("rows.csv").write_text("a,b,c,d\n1,1,1,1\n")
    served = mlflow.sklearn.load_model("models:/sum@champion")
    assert predict("sum", rows="rows.csv", out="out.csv").version == "2"
    assert float(Path("out.csv").read_text().split(",")[-1]) == pytest.approx(
        served.predict(np.ones((1, 4)))[0]
    )

    third = retune(objective=own, ensemble=4, seed=1, **options)
    assert third.degradation.error == pytest.approx(second.verdict.challenger_error, rel=0.2)
    rollback("sum")
    assert retune(objective=own, when="degraded", **options).before == "1"


def test_a_retuning_begins_with_as_many_of_an_ensemble_as_the_swarm_has_room_for(
    mlflow_store, own
) -> None:
    """Five members, of which two are alike and one breaks a limit; guided has four particles."""
    places = [(0, 0.9), (1, 0.9), (1, 0.9), (3, 0.9), (2, 0.9), (2, 1.0)]
    average = [Member({"column": c, "shrink": s}, 1 / 6) for c, s in places]
    champion = Champion("sum", "3", average[0].params, 0.1, None, True, tuple(average))

    def begins(**options) -> list[tuple[int, float]]:
        plan = prepare(TuneOptions(objective=own, advisor="none", memory="off", **options))
        space = plan.objective.space.with_constraints("column < 3")
        plan = replace(plan, objective=SimpleNamespace(space=space))
        start = _warm_started(plan, champion).study.search.start
        return [(params["column"], params["shrink"]) for params in start]

    assert begins(workers=1) == [(0, 0.9), (1, 0.9), (2, 0.9), (2, 1.0)]
    assert begins(workers=1, particles=2) == [(0, 0.9), (1, 0.9)]
    given = [{"column": 0, "shrink": 1.1}, {"column": 1, "shrink": 0.9}]
    assert begins(workers=1, start=given) == [(0, 1.1), (1, 0.9), (0, 0.9), (2, 0.9)]
    assert begins(workers=1, particles=2, start=given) == [(0, 1.1), (1, 0.9)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ensemble": 1}, "ensemble is 1; it must be 0, or from 2 to 20 models to average"),
        ({"ensemble": 21}, "ensemble is 21; it must be at most 20"),
        ({"ensemble": 2}, r"objective Bowl has no validated\(model\), which an ensemble needs"),
        ({"objective": "cnn", "ensemble": 2, "goals": ["latency_ms"]}, "several goals"),
        (
            {"objective": "cnn", "ensemble": 3, "max_latency_ms": 5},
            "ensemble is 3, and max_latency_ms 5.0: the limit is of one network",
        ),
    ],
)
def test_an_ensemble_that_cannot_be_is_refused_before_training(
    mlflow_store, bowl, change, message
) -> None:
    with pytest.raises(SpecError, match=message):
        prepare(TuneOptions(**{"objective": bowl, "advisor": "none"} | change))


def test_a_refit_that_was_for_the_other_arm_before_a_kill_counts_for_the_one_that_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A champion may be a member of the ensemble that challenges it, with the same seeds."""

    def after_a_kill(plan, ledger, trials):
        measured = [replace(t, note=CHALLENGER, links={"model": f"m{t.number}"}) for t in trials]
        return list(map(reused_for, trials, measured))

    study = SimpleNamespace(search=SimpleNamespace(seed=0), goals=Goals())
    member = Member({"depth": 3})
    plan = SimpleNamespace(
        champion=SimpleNamespace(configurations=(member,)),
        options=SimpleNamespace(refits=2),
        tune=SimpleNamespace(study=study),
    )
    monkeypatch.setattr(refit, "_trained", after_a_kill)
    monkeypatch.setattr(refit, "_refit", lambda plan, members, trials: [t.number for t in trials])
    arms = refit.refit_arms(plan, None, [member, Member({"depth": 5})])
    assert arms.champion == ([0], [1])
    assert arms.challenger == ([2, 3], [4, 5])
