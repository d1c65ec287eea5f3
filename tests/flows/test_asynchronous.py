"""Workers that wait for nobody, tracked: iterations in Prefect, and what a kill leaves behind."""

import logging
import signal
import sys
from collections import Counter
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import FlowRunSort

from flows.display.summary import Summary
from flows.tune import tune
from llmpso.objectives import registry
from llmpso.options import RunnerKind
from llmpso.search.archive import trial_seed

pytestmark = pytest.mark.usefixtures("blank_pictures")

SOURCE = '''
import json, math, os, signal, time
from pathlib import Path
from llmpso import Evaluation, Float, Integer, SearchSpace

PARTS = 16
LOG, KILL_AT = Path("FOLDER/parts.txt"), Path("FOLDER/kill_at.txt")


class Paced:
    """Trainings of 16 parts that take as long as their seed says; each part is noted."""

    name = "paced"
    metric = "height (m)"
    description = "A bowl that is reached from above."
    space = SearchSpace({"x": Float(-5.0, 5.0), "n": Integer(1, 8)})

    def evaluate(self, params, *, fidelity, seed):
        return self.trained(params, fidelity, seed, 0)

    def trained(self, params, fidelity, seed, done):
        for part in range(done + 1, math.ceil(fidelity * PARTS) + 1):
            with LOG.open("a") as file:
                file.write(f"{seed} {part}\\n")
            time.sleep(0.002 * (seed % 5))
            if len(LOG.read_text().splitlines()) > float(KILL_AT.read_text()):
                os.kill(os.getpid(), signal.SIGKILL)
        return Evaluation((params["x"] - 1) ** 2 + params["n"] / 8 + 1 - fidelity)


class Vanishing(Paced):
    """The same, where one training loses its process, and others wait for a later one."""

    name = "vanishing"

    def evaluate(self, params, *, fidelity, seed):
        lost, *slow, later = map(int, Path("FOLDER/lost.txt").read_text().split())
        if seed == lost:
            os.kill(os.getpid(), signal.SIGKILL)
        while seed in slow and f"{later} 1\\n" not in LOG.read_text():
            time.sleep(0.05)
        return super().evaluate(params, fidelity=fidelity, seed=seed)


class Resumed(Paced):
    """The same with checkpoints."""

    name = "resumed"

    def train_to(self, params, *, fidelity, seed, checkpoint):
        done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
        found = self.trained(params, fidelity, seed, done)
        half = checkpoint.with_suffix(".part")
        half.write_text(json.dumps(math.ceil(fidelity * PARTS)))
        half.replace(checkpoint)
        return found
'''


@pytest.fixture(autouse=True)
def folder(prefect_server, mlflow_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the objectives note the parts of their trainings; none is killed."""
    (tmp_path / "paced_objective.py").write_text(SOURCE.replace("FOLDER", str(tmp_path)))
    (tmp_path / "parts.txt").touch()
    (tmp_path / "kill_at.txt").write_text("inf")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("paced_objective", None)
    registry._built.cache_clear()
    return tmp_path


OPTIONS = {"advisor": "none", "seed": 2, "workers": 3, "threads": 1}


def run(name: str, **options) -> Summary:
    return tune(f"paced_objective:{name}", **(OPTIONS | options))


def parts(folder: Path) -> Counter[str]:
    return Counter((folder / "parts.txt").read_text().splitlines())


def children(parent: str) -> pd.DataFrame:
    found = mlflow.search_runs(search_all_experiments=True)
    own = found[(found["tags.mlflow.parentRunId"] == parent) & (found["status"] != "KILLED")]
    return own.sort_values("tags.mlflow.runName", ignore_index=True)


def test_iterations_are_parents_of_what_begins_in_them(until_recorded) -> None:
    run("Paced", evaluations=13)
    until_recorded()
    with get_client(sync_client=True) as client:
        (flow_run,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
        within = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id]))
        task_runs = client.read_task_runs(flow_run_filter=within)
    iterations = {str(t.id): t.name for t in task_runs if "particle" not in t.name}
    trials = [t for t in task_runs if "particle" in t.name]
    parents = Counter(iterations[str(t.task_inputs["__parents__"][0].id)] for t in trials)
    assert parents == {"iteration 0": 4, "iteration 1": 3, "iteration 2": 3, "iteration 3": 3}
    assert {t.state_name for t in task_runs} == {"Completed"}
    for trial in trials:
        assert trial.name.startswith(iterations[str(trial.task_inputs["__parents__"][0].id)])


@pytest.mark.parametrize("runner", ["thread", "process"])
@pytest.mark.parametrize(("name", "racing"), [("Paced", False), ("Resumed", True)])
def test_a_longer_study_repeats_what_ended_first(
    folder, name: str, racing: bool, runner: RunnerKind
) -> None:
    """Whatever had ended first, the same trials are proposed again: none is trained twice."""
    first = run(name, evaluations=8, racing=racing, runner=runner)
    before, trained = children(first.run_id), parts(folder)
    longer = run(name, evaluations=12, racing=racing, runner=runner)
    assert (longer.run_id, longer.reused) == (first.run_id, first.evaluations)
    assert trained <= parts(folder)
    again = run(name, evaluations=14, racing=racing, runner=runner)
    assert again.reused == longer.evaluations
    # The checkpoints of what was pruned at the end are gone: if promoted, it begins anew.
    pruned = set(before[before["tags.state"] == "pruned"]["tags.seed"])
    pruned |= set(children(first.run_id)[lambda rows: rows["tags.state"] == "pruned"]["tags.seed"])
    assert bool(pruned) == racing
    twice = {part.split()[0] for part, times in parts(folder).items() if times > 1}
    complete = set(before[before["tags.state"] == "complete"]["tags.seed"])
    assert not twice & complete
    assert racing or not twice


@pytest.mark.slow
@pytest.mark.parametrize(("name", "racing"), [("Paced", False), ("Resumed", True)])
@pytest.mark.parametrize("kill_at", [20, 60, 100])
def test_a_killed_study_goes_on(
    folder, forked_runs, caplog, name: str, racing: bool, kill_at: int
) -> None:
    options = OPTIONS | {"evaluations": 10, "racing": racing}
    (folder / "kill_at.txt").write_text(str(kill_at))
    code = f"from flows.tune import tune; tune('paced_objective:{name}', **{options!r})"
    errors = folder / "errors.txt"
    assert forked_runs.run(code, errors) == -signal.SIGKILL, errors.read_text()
    before = parts(folder)

    (folder / "kill_at.txt").write_text("inf")
    with caplog.at_level(logging.WARNING):
        resumed = run(name, **options)
    assert "not proposed again" not in caplog.text
    assert resumed.full_trainings >= 10
    again = parts(folder)
    # What was under way is trained again: from its last rung, if it has one.
    twice = [part for part, times in again.items() if times > 1]
    assert set(twice) <= set(before)
    assert len(twice) <= 3 * 16
    assert len({part.split()[0] for part in twice}) <= 3
    rows = children(resumed.run_id)
    assert len(rows) == len(rows["tags.seed"].unique()) == resumed.evaluations


@pytest.mark.slow
def test_what_was_proposed_after_a_lost_worker_is_proposed_again(folder, caplog) -> None:
    """Trial 6 is of the same iteration as trial 4, and was proposed because that was lost."""
    seeds = [str(trial_seed(2, number)) for number in (4, 3, 5, 6)]
    (folder / "lost.txt").write_text(" ".join(seeds))
    first = run("Vanishing", evaluations=7, runner="process")
    trained = parts(folder)
    (folder / "lost.txt").write_text(" ".join(["-1", *seeds[1:]]))
    with caplog.at_level(logging.WARNING):
        longer = run("Vanishing", evaluations=9, runner="process")
    assert (first.failed, longer.failed) == (1, 1)
    assert longer.reused == 7
    assert "not proposed again" not in caplog.text
    assert trained <= parts(folder)
