"""Workers of a study that vanish, as spot machines do: nothing is lost, nothing is done twice.

`LLMPSO_CHAOS_KILLS=50 pytest tests/flows/test_vanishing_workers.py -s` kills so many on each
runner; without it, a few of one runner.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import pytest

from flows.tune import tune

N_KILLS = int(os.environ.get("LLMPSO_CHAOS_KILLS", "0"))
RUNNERS = ("process", "dask", "ray") if N_KILLS else ("process",)
MOST_KILLS = {"process": 1, "dask": 5, "ray": 5}
"""Of one training, which is then repeated once more; processes of one machine do not vanish."""
EVALUATIONS, WORKERS = (24, 4) if N_KILLS else (8, 2)

OBJECTIVE = """
import os, time
from llmpso import Evaluation, Float, SearchSpace

def note(word, seed):
    file = os.open("LOG", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{word} {seed} {os.getpid()}\\n".encode())
    os.close(file)

class Sleepy:
    name = "sleepy"
    metric = "height (m)"
    description = "A bowl; a training sleeps."
    space = SearchSpace({"x": Float(-5.0, 5.0), "y": Float(-5.0, 5.0)})

    def evaluate(self, params, *, fidelity, seed):
        note("begin", seed)
        time.sleep(0.3 + seed % 100 / 200)
        note("end", seed)
        return Evaluation(params["x"] ** 2 + params["y"] ** 2)
"""


@dataclass
class Killer:
    """Kills workers in the middle of their trainings, at random moments."""

    log: Path
    n_kills: int
    most_of_one: int
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    killed: list[tuple[str, int]] = field(default_factory=list)
    """Seed of the training, and process."""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Until the block ends, or all kills are done."""
        is_over = threading.Event()
        thread = threading.Thread(target=self._kill, args=(is_over,))
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def lines(self) -> list[tuple[str, str, int]]:
        if not self.log.exists():
            return []
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [(word, seed, int(pid)) for word, seed, pid in lines]

    def ended(self) -> Counter[str]:
        """How often each training ran to its end."""
        return Counter(seed for word, seed, _ in self.lines() if word == "end")

    def _kill(self, is_over: threading.Event) -> None:
        while len(self.killed) < self.n_kills and not is_over.wait(self.rng.uniform(0.1, 2.0)):
            lines = self.lines()
            ended = {(seed, pid) for word, seed, pid in lines if word == "end"}
            running = [(seed, pid) for word, seed, pid in lines if word == "begin"]
            gone, kills = ended | set(self.killed), Counter(seed for seed, _ in self.killed)
            alive = [one for one in running if one not in gone]
            if alive := [one for one in alive if kills[one[0]] < self.most_of_one]:
                chosen = self.rng.choice(alive)
                with suppress(ProcessLookupError):
                    os.kill(chosen[1], signal.SIGKILL)
                self.killed.append(chosen)


@pytest.mark.slow
@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.usefixtures("prefect_server", "blank_pictures")
def test_workers_that_vanish_cost_only_what_they_were_training(
    mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: str
) -> None:
    (tmp_path / "sleepy_objective.py").write_text(OBJECTIVE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    killer = Killer(tmp_path / "LOG", N_KILLS or 3, MOST_KILLS[runner])
    n_studies, begin = 0, time.monotonic()
    while not n_studies or len(killer.killed) < killer.n_kills:
        with killer.at_work():
            summary = tune(
                "sleepy_objective:Sleepy",
                evaluations=EVALUATIONS,
                seed=n_studies,
                runner=runner,
                workers=WORKERS,
                threads=1,
                advisor="none",
                memory="off",
            )
        n_studies += 1
        assert (summary.evaluations, summary.failed) == (EVALUATIONS, 0)
        trials = of_study(mlflow_store, summary.run_id)
        assert [run.info.status for run in trials] == ["FINISHED"] * EVALUATIONS
    ended, lines = killer.ended(), killer.lines()
    n_begun = sum(word == "begin" for word, _, _ in lines)
    twice = {seed: n for seed, n in ended.items() if n > 1}
    print(
        f"\n{runner}: {n_studies} studies of {EVALUATIONS} evaluations, {n_begun} begun, "
        f"{len(killer.killed)} kills, {len(twice)} done twice, {time.monotonic() - begin:.0f} s"
    )
    assert len(ended) == n_studies * EVALUATIONS
    # One whose worker was killed between its last line and its answer is done again.
    assert twice.keys() <= {seed for seed, _ in killer.killed}


def of_study(store: str, run_id: str) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(store)
    experiments = [client.get_run(run_id).info.experiment_id]
    return list(client.search_runs(experiments, f"tags.`mlflow.parentRunId` = '{run_id}'"))
