"""SIGKILL at random moments: nothing that was measured is lost, and nothing is done twice.

`LLMPSO_CHAOS_KILLS=200 pytest tests/flows/test_chaos.py -s` for the long form.
"""

import json
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import pytest
from forked_runs import ForkedRuns
from prefect.client.orchestration import get_client

from llmpso.running.outcome_files import read_outcome

N_KILLS = int(os.environ.get("LLMPSO_CHAOS_KILLS", "5"))
EVALUATIONS = 30

OBJECTIVE = """
import os, time
from llmpso import Evaluation, Float, Integer, SearchSpace

def note(word, seed):
    file = os.open("LOG", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{word} {seed}\\n".encode())
    os.close(file)

class Shaky:
    name = "shaky"
    metric = "height (m)"
    description = "A bowl with a hole."
    space = SearchSpace({"x": Float(-5.0, 5.0), "n": Integer(1, 8)})

    def evaluate(self, params, *, fidelity, seed):
        note("begin", seed)
        time.sleep(seed % 100 / 1000)
        if params["n"] == 7:
            note("end", seed)
            raise RuntimeError("there is a hole")
        note("end", seed)
        return Evaluation((params["x"] - 1) ** 2 + params["n"] / 8)
"""

# A study whose language model answers from a script.
CODE = """
import json
from flows import tune_plan
from flows.tune import tune
from llmpso.backends.base import Reply
from scripted_backend import ScriptedBackend
from tasks.records.flow_runs import announced

def answer(request):
    number = len(request.messages[1].content)
    items = [
        {{
            "position": {{"x": 1.0 + number / 1e6 + k, "n": 1 + k}},
            "velocity": {{"x": 0.1, "n": 0}},
        }}
        for k in range(2)
    ]
    return Reply(json.dumps({{"suggestions": items}}), 100, 20, seconds=0.5)

tune_plan._backend = lambda options: (ScriptedBackend(answer), "scripted, for a test")
with announced():
    tune("shaky_objective:Shaky", **{options!r})
"""


@dataclass
class Chaos:
    """Studies that are killed, and what is seen of them in between."""

    runs: ForkedRuns
    log: Path
    state: Path
    rng: random.Random = field(default_factory=lambda: random.Random(4))
    kept: set[int] = field(default_factory=set)
    n_kills: int = 0
    n_unseen: int = 0
    """Evaluations that ended, but were not kept before the kill, and are to be done again."""

    def run(self, options: dict, *, is_killed: bool = False) -> int:
        """Run a study, and kill it at a random moment; its exit code."""
        own = {"PREFECT_HOME": str(self.log.parent / "prefect")}
        code = CODE.format(options=options)
        pid = self.runs.begin(code, self.log.with_name("errors.txt"), **own)
        if is_killed:
            self.wait_for_a_moment(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return self.runs.ended(pid)

    def wait_for_a_moment(self, pid: int) -> None:
        """Up to eight beginnings and ends of evaluations, and a little; or within the start.

        Counted in events: how long they take depends on what else the machine does.
        """
        last = len(self.lines()) + self.rng.randint(0, 8)
        is_start = last == len(self.lines())
        while len(self.lines()) < last and Path(f"/proc/{pid}").exists():
            time.sleep(0.002)
        time.sleep(self.rng.uniform(0, 1.5 if is_start else 0.15))

    def run_to_the_end(self, options: dict) -> None:
        """Kill a study again and again, until it ends before its time."""
        self.kept.clear()
        while self.n_kills < N_KILLS:
            started = self.lines()
            status = self.run(options, is_killed=True)
            lines = self.lines()[len(started) :]
            assert not self.kept & {seed for word, seed in lines if word == "begin"}
            if status == 0:
                return
            self.n_kills += 1
            self.look_back(lines)
        assert self.run(options) == 0

    def look_back(self, lines: list[tuple[str, int]]) -> None:
        """What was kept before the kill is kept after it; what ended unseen is counted."""
        before, self.kept = self.kept, self.seen()
        assert not self.kept or before <= self.kept
        self.n_unseen += len({seed for word, seed in lines if word == "end"} - self.kept)
        print(f"kill {self.n_kills}: {len(self.kept)} kept, {self.n_unseen} to redo", flush=True)

    def seen(self) -> set[int]:
        """Seeds of the evaluations of the unfinished study that are in MLflow or on disk."""
        found = runs()
        open_runs = found[found["tags.mlflow.parentRunId"].isna() & (found["status"] == "RUNNING")]
        children = found[found["tags.mlflow.parentRunId"].isin(open_runs["run_id"])]
        whole = children[children["status"].isin(["FINISHED", "FAILED"])]
        waiting = self.state.glob("llmpso/studies/*/outcomes/*/outcome.json")
        on_disk = [json.loads(path.read_text()) for path in waiting if ".half" not in str(path)]
        seeds = {record["content"]["trial"]["seed"] for record in on_disk}
        # Written just before, so that a kill between the two loses nothing.
        written = self.state.glob("llmpso/studies/*/worker_outcomes/*.outcome")
        seeds |= {read_outcome(path).trial.seed for path in written}
        return seeds | set(whole["tags.seed"].astype(int) if len(whole) else [])

    def lines(self) -> list[tuple[str, int]]:
        text = self.log.read_text() if self.log.exists() else ""
        return [(word, int(seed)) for word, seed in map(str.split, text.splitlines())]


def runs():
    found = mlflow.search_runs(search_all_experiments=True)
    for column in ("tags.mlflow.parentRunId", "tags.seed"):
        if column not in found:
            found[column] = None
    return found


@pytest.fixture
def chaos(prefect_server, mlflow_store, forked_runs: ForkedRuns, tmp_path, monkeypatch) -> Chaos:
    log = tmp_path / "evaluations.txt"
    (tmp_path / "shaky_objective.py").write_text(OBJECTIVE.replace("LOG", str(log)))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.syspath_prepend(tmp_path)
    return Chaos(forked_runs, log, tmp_path / "state")


def outcomes(run_id: str) -> list[list[str]]:
    found = runs()
    children = found[found["tags.mlflow.parentRunId"] == run_id]
    ended = children[children["status"] != "KILLED"]
    columns = ["tags.mlflow.runName", "tags.seed", "params.x", "params.n", "metrics.value"]
    return ended.sort_values("tags.mlflow.runName")[columns].astype(str).values.tolist()


def curve(run_id: str) -> list[tuple[int, float]]:
    points = mlflow.MlflowClient().get_metric_history(run_id, "best_value")
    return sorted((point.step, point.value) for point in points)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_study_that_is_killed_at_random_ends_as_if_it_had_not_been(chaos: Chaos) -> None:
    seed = 0
    while chaos.n_kills < N_KILLS:
        options = {"method": "paper", "evaluations": EVALUATIONS, "workers": 2, "seed": seed}
        # Else the second study reads what the first one found.
        options["memory"] = "off"
        chaos.run_to_the_end(options)
        parents = runs()[lambda found: found["tags.mlflow.parentRunId"].isna()]
        (chaotic,) = parents[parents["params.seed"] == str(seed)]["run_id"]
        assert chaos.run(options | {"fresh": True}) == 0
        found = runs()[lambda found: found["tags.mlflow.parentRunId"].isna()]
        own = found[found["params.seed"] == str(seed)]
        assert set(own["status"]) == {"FINISHED"}
        (calm,) = set(own["run_id"]) - {chaotic}
        assert len(outcomes(chaotic)) == EVALUATIONS
        assert outcomes(chaotic) == outcomes(calm)
        assert curve(chaotic) == curve(calm)
        seed += 1
    ended = Counter(number for word, number in chaos.lines() if word == "end")
    print(
        f"\n{chaos.n_kills} kills in {seed} studies of {EVALUATIONS} evaluations: 0 lost, 0 kept "
        f"ones repeated; {chaos.n_unseen} ended in the instant before a kill and were redone"
    )
    assert sum(ended.values()) == 2 * seed * EVALUATIONS + chaos.n_unseen
    with get_client(sync_client=True) as prefect:
        everything = prefect.read_flow_runs(limit=200)
    states = Counter(run.state_name for run in everything if run.name.startswith("shaky"))
    print(dict(states))
    assert states["Completed"] == 2 * seed
    assert set(states) <= {"Completed", "Crashed"}
