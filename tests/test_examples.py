"""The snippets of the READMEs run as they are written.

Two of them need a model that serves: `tests/flows/test_serving.py` runs these.
"""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
import torch
from threadpoolctl import threadpool_limits

import llmpso
from flows.deployment_file import load_deployments
from flows.retune import retune
from flows.retune_report import Decision
from flows.tune import tune
from llmpso import Evaluation
from llmpso.backends.base import Reply, Request
from llmpso.errors import BackendError
from llmpso.space import Fixed
from llmpso.space.space_file import load_space
from llmpso.study.cost import TrainingCost
from tasks.records.datasets import dataset_of

pytestmark = pytest.mark.usefixtures("blank_pictures")

PROJECT = Path(__file__).parents[1]
READMES = [PROJECT / "README.md", *PROJECT.glob("[a-z]*/**/README.md")]
BLOCKS = [
    block
    for path in READMES
    for block in re.findall(r"```(?:python|yaml)\n(.*?)```", path.read_text(), flags=re.DOTALL)
]


def block(part: str) -> str:
    (found,) = (block for block in BLOCKS if part in block)
    return found


def run(part: str, **names: Any) -> dict[str, Any]:
    """Run a snippet; its names afterwards."""
    # On a busy machine, several threads for a tiny model take minutes.
    with threadpool_limits(1):
        exec(block(part), names)  # noqa: S102 - our own README
    return names


def test_each_snippet_is_run_by_one_test() -> None:
    tests = Path(__file__).read_text() + (PROJECT / "tests/flows/test_serving.py").read_text()
    parts = set(re.findall(r'(?:block|run|written|snippet)\(\s*"(.+?)"', tests))
    assert all(sum(part in block for part in parts) == 1 for block in BLOCKS)


def test_the_example_of_noisy_trainings() -> None:
    result = run("def noisy(params, seed)")["result"]
    assert (len(result.trials), len(result.repeats)) == (20, 4)
    assert result.expected.n_repeats == 2


def test_the_example_of_a_data_set() -> None:
    described = run("def describe_data")["describe_data"]()
    found = dataset_of(SimpleNamespace(describe_data=lambda: described))
    assert (found.name, found.source_type) == ("tumours", "http")


def test_the_notebook_example() -> None:
    names = run("plot = LivePlot", train=lambda p: p["rate"] + p["units"] / 256)
    assert names["result"].best.value < 0.2
    assert len(names["result"].trials) == 30
    assert len(run("result.plot_best()", result=names["result"])["frame"]) == 30


def test_the_search_in_the_manner_of_scikit_learn() -> None:
    search = run("LLMPSOSearchCV(make_pipeline")["search"]
    assert search.best_score_ > 0.97


def test_the_scikit_learn_example() -> None:
    assert run("best = minimize")["best"].value < 0.08


def test_a_conditional_space_in_python_and_in_a_file(tmp_path: Path) -> None:
    names = run("found = minimize(")
    assert names["found"].value < 2
    found = names["found"].params
    assert ("momentum" in found) == (found["optimizer"] == "sgd")
    (tmp_path / "conditional.yaml").write_text(block("# conditional.yaml"))
    space = load_space(tmp_path / "conditional.yaml")
    assert {name: space[name] for name in names["space"]} == dict(names["space"])
    assert space["epochs"] == Fixed(20)


def test_constraints_of_a_space_and_of_a_study() -> None:
    names = run("narrow = minimize(")
    assert 400 < names["small"].params["units"] * names["small"].params["layers"] <= 512
    assert 50 < names["narrow"].params["units"] < 64


def test_a_measured_constraint() -> None:
    rated = run("rated = minimize(")["rated"]
    assert 4 < rated.best.params["width"] ** 2 <= 20
    assert {str(trial.state) for trial in rated.trials} == {"complete", "infeasible"}


def test_several_goals() -> None:
    names = run("several = minimize(")
    assert len(names["several"].front) > 3
    assert names["several"].best in names["several"].front
    assert names["small"].best.values["leaves"] <= 50


def test_a_torch_loop_that_reports_and_the_same_with_optuna() -> None:
    names = run("report(epoch, loss)  # the added line")
    assert names["result"].best.value < 0.5
    optuna = pytest.importorskip("optuna")
    with threadpool_limits(1):
        exec(block("raise optuna.TrialPruned"), names)  # noqa: S102 - our own README
    assert len(names["study"].trials) == 20
    assert optuna.trial.TrialState.COMPLETE in {trial.state for trial in names["study"].trials}


def test_a_torch_loop_that_pauses_and_goes_on() -> None:
    names = run("report(epoch, loss)  # the added line")
    paused = run("if checkpoint.exists():", **names)["result"]
    assert paused.best.value < 0.6
    assert {str(trial.state) for trial in paused.trials} == {"complete", "pruned"}
    assert 4.9 < TrainingCost(paused.trials).total < 7


def test_a_study_that_begins_from_an_earlier_one(capsys) -> None:
    result = run("PastStudy, PastTrial")["result"]
    assert capsys.readouterr().out == "memory\n"
    assert result.trials[0].params == {"x": 0.5, "y": 1.0}


def test_a_scikit_learn_model_that_learns_in_parts() -> None:
    raced = run("model.partial_fit(")["raced"]
    assert raced.best.value < 0.15
    assert sum(trial.n_steps for trial in raced.trials) < 0.9 * len(raced.trials) * 27


def test_the_optimizer_is_asked_and_told() -> None:
    swarm = run("swarm = PSO")["swarm"]
    assert swarm.particles.swarm.gbest_value < 1.0


class Silent:
    """A language model that does not answer."""

    identity = {"backend": "silent", "model": "none"}

    def complete(self, request: Request) -> Reply:
        raise BackendError("it is silent")

    def close(self) -> None:
        pass


def test_the_library_in_ten_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_model.py").write_text(block("# own_model.py"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(llmpso, "choose_backend", lambda name: SimpleNamespace(backend=Silent()))
    result = run("choose_backend(")["result"]
    assert len(result.trials) == 12
    assert f"{result.best.value}" in capsys.readouterr().out
    assert result.calls


def test_a_function_of_your_own(
    prefect_server, mlflow_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_model.py").write_text(block("# own_model.py"))
    (tmp_path / "own_model.yaml").write_text(block("# own_model.yaml"))
    monkeypatch.syspath_prepend(tmp_path)
    own = {"objective": "own_model:train", "space_file": "own_model.yaml"}
    summary = tune(**own, method="pso", evaluations=4, particles=2, workers=2)
    assert summary.best_value < 0.1
    assert set(summary.best_params) == set(load_space(tmp_path / "own_model.yaml"))


def test_a_function_of_a_notebook(prefect_server, mlflow_store) -> None:
    summary = run("load_study(summary.run_id)", __name__="__main__")["summary"]
    assert (summary.evaluations, summary.objective) == (12, "train")
    assert summary.best_value < 0.05


def test_the_notebook(prefect_server, mlflow_store) -> None:
    text = (PROJECT / "flows/examples/notebook.ipynb").read_text(encoding="utf-8")
    cells = [c["source"] for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    names: dict[str, Any] = {"__name__": "__main__"}
    with threadpool_limits(1):
        for cell in cells:
            exec("".join(cell), names)  # noqa: S102 - our own notebook
    assert names["result"].best.value < 0.1
    assert names["search"].best_score_ > 0.95
    assert names["load_study"](names["summary"].run_id).best.value == names["summary"].best_value


def test_a_class_of_your_own(
    prefect_server, mlflow_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits.py").write_text(block("class Digits"))
    monkeypatch.syspath_prepend(tmp_path)
    summary = tune("digits:Digits", method="pso", evaluations=12, workers=2)
    assert summary.best_value < 0.1
    model = mlflow.pytorch.load_model(f"models:/{summary.model}")
    assert model(torch.zeros(1, 64)).shape == (1, 10)

    from digits import Digits

    params = summary.best_params
    again = [Digits().evaluate(params, fidelity=1.0, seed=3) for _ in range(2)]
    assert isinstance(again[0], Evaluation)
    assert again[0].value == again[1].value


def test_a_network_of_your_own_is_tuned_and_retuned(
    prefect_server, mlflow_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_network.py").write_text(block("# own_network.py"))
    (tmp_path / "own_network.yaml").write_text(block("# own_network.yaml"))
    monkeypatch.syspath_prepend(tmp_path)
    own = {"objective": "own_network:train", "space_file": "own_network.yaml", "workers": 2}
    summary = tune(**own, method="pso", evaluations=6, ensemble=3)
    assert summary.model == "own-network-train/1"
    assert summary.ensemble_outcome.reason
    first = retune(**own, evaluations=6, refits=2)
    assert (first.outcome, first.version) == (Decision.FIRST, "2")
    # Nothing is nine tenths better: the champion must stay.
    second = retune(**own, evaluations=6, refits=2, seed=1, margin=0.9)
    assert (second.outcome, second.version) == (Decision.KEPT, "2")
    assert second.degradation.error == pytest.approx(second.degradation.recorded)
    assert mlflow.pytorch.load_model("models:/own-network-train@champion").in_features == 64


def test_a_fingerprint_changes_with_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fingerprint = run("def fingerprint")["fingerprint"]
    found = set()
    for content in ("1", "2"):
        Path("measurements.csv").write_text(content)
        found.add(fingerprint())
    assert len(found) == 2


def test_predictions_can_be_scheduled(tmp_path: Path) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_text("deployments:\n" + block("a deployment for prefect.yaml"))
    (deployment,) = load_deployments(path)
    assert deployment.full_name == "predict/air-quality"
