"""The benchmark: paired, resumable, honest about what changed, and replayable without a model."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from flows.benchmark import APP, COMMAND, benchmark
from flows.benchmarks import overhead, plan, recall
from flows.benchmarks.plan import BenchmarkOptions
from flows.command_line import USAGE_ERROR, run_module
from llmpso.backends.base import Reply, Request
from llmpso.backends.choose import ChosenBackend
from llmpso.benchmark import arms, problems
from llmpso.benchmark.arms import find_arm
from llmpso.benchmark.epochs import ARMS
from llmpso.benchmark.nonsense import RandomBackend
from llmpso.benchmark.problems import FunctionProblem
from llmpso.benchmark.runs import StudyGroup, load_trials, one_core_processes, run_group
from llmpso.errors import DataError
from llmpso.search.candidates import PoolSize
from scripted_backend import ScriptedBackend

for needed in ("pyarrow", "matplotlib", "threadpoolctl"):
    pytest.importorskip(needed)

SMALL = {"seeds": 2, "budget": 10, "workers": 1}


@pytest.fixture(autouse=True)
def one_small_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """All suites are one function of two variables."""
    small = {name: (FunctionProblem("levy", 2),) for name in problems.SUITES}
    monkeypatch.setattr(problems, "SUITES", small)


def parts(out: Path) -> dict[str, tuple[int, bytes]]:
    """When each file of trials was written, and what it holds."""
    return {
        str(path.relative_to(out)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in out.rglob("*.parquet")
    }


def group(name: str, seeds: int = 2) -> StudyGroup:
    arm = find_arm(name)
    return StudyGroup(FunctionProblem("levy", 2), arm, tuple(range(seeds)), 10, arm.key(10, {}))


def test_a_benchmark_leaves_trials_tables_and_figures(prefect_server, mlflow_store, tmp_path):
    out = tmp_path / "out"
    text = benchmark("functions", arms="pso,guided", out=str(out), **SMALL)
    assert text.splitlines()[0].startswith("| arm ")
    assert "guided" in text
    report = out / "functions"
    assert {path.name for path in report.iterdir()} == {
        "functions.md",
        "functions-arms.csv",
        "functions-problems.csv",
        "functions-pairs.csv",
        "functions-regret.png",
        "functions-ratios.png",
    }
    table = pd.read_csv(report / "functions-arms.csv").set_index("arm")
    assert table.loc["pso", "ratio"] == 1.0
    (run,) = mlflow.search_runs(search_all_experiments=True).to_dict("records")
    assert run["status"] == "FINISHED"
    assert run["metrics.guided.evaluations"] == table.loc["guided", "evaluations"]
    files = mlflow.MlflowClient().list_artifacts(run["run_id"], "report")
    assert len(files) == 6

    written, old = parts(out), (report / "functions.md").read_text()
    again = benchmark("functions", arms="pso,guided", out=str(out), report_only=True, **SMALL)
    assert parts(out) == written
    assert again == text
    assert (report / "functions.md").read_text() == old


def test_finished_studies_are_not_run_again_and_new_seeds_are(tmp_path):
    with one_core_processes(1) as pool:
        assert run_group(group("pso"), tmp_path, pool, None) == 2
        before = parts(tmp_path)
        assert run_group(group("pso"), tmp_path, pool, None) == 0
        assert parts(tmp_path) == before
        assert run_group(group("pso", seeds=3), tmp_path, pool, None) == 1
    trials = load_trials([group("pso", seeds=3)], tmp_path)
    assert trials.groupby("seed").size().tolist() == [10, 10, 10]
    assert set(load_trials([group("pso")], tmp_path)["seed"]) == {0, 1}


def test_results_do_not_depend_on_the_number_of_workers(tmp_path):
    for n_workers in (1, 2):
        with one_core_processes(n_workers) as pool:
            run_group(group("guided"), tmp_path / str(n_workers), pool, None)
    one, two = (list(parts(tmp_path / str(n)).values()) for n in (1, 2))
    assert [content for _, content in one] == [content for _, content in two]


def test_a_changed_arm_is_run_again(tmp_path):
    guided = group("guided")
    arm = replace(guided.arm, options={"pool_size": PoolSize(n_steps=7)})
    changed = replace(guided, arm=arm, key=arm.key(10, {}))
    with one_core_processes(1) as pool:
        run_group(guided, tmp_path, pool, None)
        assert changed.missing(tmp_path) == (0, 1)
        with pytest.raises(DataError, match="2 studies of 'guided' on 'levy-2' are not in"):
            load_trials([changed], tmp_path)
        assert run_group(changed, tmp_path, pool, None) == 2
    assert len(parts(tmp_path)) == 4


def test_what_is_interrupted_saves_the_studies_that_have_ended(tmp_path):
    class Interrupted:
        def map(self, run, seeds, backends):
            yield run(seeds[0], next(backends))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_group(group("pso", seeds=3), tmp_path, Interrupted(), None)
    assert group("pso", seeds=3).missing(tmp_path) == (1, 2)


def test_a_new_version_of_the_code_lets_old_results_expire(tmp_path, monkeypatch):
    before = find_arm("pso").key(10, {})
    monkeypatch.setattr(arms, "RESULTS_VERSION", arms.RESULTS_VERSION + 1)
    assert find_arm("pso").key(10, {}) != before


def test_a_replay_needs_no_model_and_gives_the_same_trials(
    prefect_server, mlflow_store, tmp_path, monkeypatch
):
    live, replayed = tmp_path / "live", tmp_path / "replayed"

    def answer(request: Request) -> Reply:
        seed = len(request.messages[-1].content)
        return Reply(RandomBackend(seed).complete(request).text, 100, 20, seconds=0.5)

    model = ScriptedBackend(answer)
    monkeypatch.setattr(
        plan,
        "choose_backend",
        lambda name, **options: ChosenBackend(model, "for a test"),
    )
    names = "pso,guided,guided-llm,placebo"
    benchmark("functions", arms=names, out=str(live), advisor="embedded", **SMALL)
    n_asked = len(model.requests)
    assert n_asked > 0
    replies = str(live / "replies.jsonl")
    benchmark("functions", arms=names, out=str(replayed), replies=replies, **SMALL)
    assert len(model.requests) == n_asked
    for name, (_, content) in parts(live).items():
        assert (replayed / name).read_bytes() == content
    table = pd.read_csv(replayed / "functions/functions-arms.csv").set_index("arm")
    assert table.loc["guided-llm", "llm_seconds"] > 0
    pairs = pd.read_csv(replayed / "functions/functions-pairs.csv")
    assert pairs["against"].tolist() == ["placebo", "guided"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "all"], 'Invalid value "all" for --suite'),
        (["--arms", "pso,ga"], "arm 'ga' is unknown; it must be one of: default-only"),
        (["--arms", "pso,pso"], "arms is 'pso,pso'; each may be named once"),
        (["--seeds", "0"], "--seeds is 0; it must be at least 1"),
        (["--arms", "guided-llm", "--replies", "no.jsonl"], "no.jsonl holds no recorded replies"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    monkeypatch, capsys, mlflow_store, arguments, message
):
    monkeypatch.setattr(sys, "argv", ["flows.benchmark", *arguments])
    assert run_module(APP, "flows.benchmark") == USAGE_ERROR
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_trials_contain_all_that_is_reported(tmp_path):
    with one_core_processes(1) as pool:
        run_group(group("random"), tmp_path, pool, None)
    row = load_trials([group("random")], tmp_path).iloc[0]
    assert row["best"] < row["target"] < row["median"]
    assert set(json.loads(row["params"])) == {"x1", "x2"}


def test_options_and_flow_name_the_same_parameters():
    assert set(BenchmarkOptions.__annotations__) == set(COMMAND.flow.parameters.properties)


def test_epochs_are_measured_and_their_raw_figures_saved(prefect_server, mlflow_store, tmp_path):
    out = tmp_path / "out"
    text = benchmark("curves", problems="cnn", seeds=1, budget=3, workers=1, out=str(out))
    assert text.startswith("**cnn**")
    (run_id,) = mlflow.search_runs(experiment_names=["benchmark"])["run_id"]
    kept = {file.path for file in mlflow.MlflowClient().list_artifacts(run_id, "report")}
    assert kept == {f"report/{path.name}" for path in (out / "curves").iterdir()}
    trainings = pd.read_csv(out / "curves" / "curves-trainings.csv")
    assert set(trainings["arm"]) == set(ARMS)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--problems", "3945"], "'3945'; it must be one of: lstm, cnn; those of LCBench and"),
        (["--lcbench", "nowhere"], "config_space.json in it cannot be read"),
    ],
)
def test_unknown_curves_are_refused(monkeypatch, capsys, options, problem):
    monkeypatch.setattr(sys, "argv", ["flows.benchmark", "--suite", "curves", *options])
    assert run_module(APP, "flows.benchmark") == USAGE_ERROR
    assert problem in capsys.readouterr().err


def test_speed_is_measured_and_its_raw_figures_saved(prefect_server, mlflow_store, tmp_path):
    options = {"seeds": 1, "budget": 2, "workers": 1, "out": str(tmp_path)}
    text = benchmark("speed", problems="steps,surrogate", **options)
    assert "## One step of a swarm" in text
    raw = pd.read_csv(tmp_path / "speed" / "steps-raw.csv")
    assert set(raw["what"]) == {"ours", "PySwarms", "memory"}
    assert (raw["seconds"] > 0).all()
    assert len(pd.read_csv(tmp_path / "speed" / "surrogate.csv")) == 4
    again = benchmark("speed", problems="steps,surrogate", report_only=True, **options)
    assert again == text
    (run,) = mlflow.search_runs(search_all_experiments=True, max_results=1).itertuples()
    kept = {item.path for item in mlflow.MlflowClient().list_artifacts(run.run_id, "report")}
    assert "report/steps-raw.csv" in kept


def test_finding_earlier_studies_is_timed(monkeypatch):
    monkeypatch.setattr(recall, "N_STUDIES", 2)
    monkeypatch.setattr(recall, "N_TRIALS", 3)
    raw = pd.DataFrame(recall.measure_recall(1, stores=("sqlite",)))
    assert (raw["seconds"] > 0).all()
    table = recall.recall_table(raw)
    assert table[["store", "read from"]].values.tolist() == [
        ["sqlite", "file"],
        ["sqlite", "trials"],
    ]
    assert {"first", "again"} <= set(table.columns)


@pytest.mark.slow
def test_a_whole_study_is_timed_by_http(prefect_server):
    assert overhead.seconds_of_study("http", overhead.OURS, 2) > 0


def test_an_unknown_table_of_speed_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["flows.benchmark", "--suite", "speed", "--problems", "taste"]
    )
    assert run_module(APP, "flows.benchmark") == USAGE_ERROR
    assert "machinery, recall, runners, steps, surrogate" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--problems", "3945"], ["--lcbench", "nowhere"]])
def test_unknown_problems_of_memory_are_refused(monkeypatch, capsys, options):
    monkeypatch.setattr(sys, "argv", ["flows.benchmark", "--suite", "memory", *options])
    assert run_module(APP, "flows.benchmark") == USAGE_ERROR
    assert options[1] in capsys.readouterr().err
