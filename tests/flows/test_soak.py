"""A long study does not grow: memory, file handles and time per evaluation stay flat.

`LLMPSO_SOAK_EVALUATIONS=1000 LLMPSO_SOAK_SECONDS=7 pytest tests/flows/test_soak.py -s` for the
long form: an hour of evaluations of seven seconds each, two at a time.
"""

import os
import threading
import time
from pathlib import Path

import pytest

from flows.display.progress import StudyProgress
from flows.tune import tune
from llmpso.trial import Trial

N_EVALUATIONS = int(os.environ.get("LLMPSO_SOAK_EVALUATIONS", "100"))
SECONDS = float(os.environ.get("LLMPSO_SOAK_SECONDS", "0"))
"""What one evaluation takes, at the least."""
N_ROWS = 10

OBJECTIVE = f"""
import time
import torch
from llmpso import Evaluation, Float, SearchSpace

class Cheap:
    name = "cheap"
    metric = "height"
    description = "A bowl."
    space = SearchSpace({{"x": Float(-5.0, 5.0), "y": Float(-5.0, 5.0)}})

    def evaluate(self, params, *, fidelity, seed):
        time.sleep({SECONDS})
        value = params["x"] ** 2 + params["y"] ** 2
        curve = tuple(value + 1 / epoch for epoch in range(1, 21))
        return Evaluation(value, {{"depth": 1.0}}, {{"loss": curve}}, torch.nn.Linear(64, 64))
"""


def resources() -> tuple[float, int, int]:
    """Resident memory in MiB, open file handles and threads of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    resident = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return resident, len(os.listdir("/proc/self/fd")), threading.active_count()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_long_study_does_not_grow(
    prefect_server, mlflow_store, tmp_path, monkeypatch, capsys
) -> None:
    (tmp_path / "cheap_objective.py").write_text(OBJECTIVE)
    monkeypatch.syspath_prepend(tmp_path)
    rows: list[tuple[float, float, int, int]] = []
    n_reported = 0

    whole = StudyProgress.__call__

    def note(self: StudyProgress, trial: Trial) -> None:
        nonlocal n_reported
        whole(self, trial)
        n_reported += 1
        if n_reported % (N_EVALUATIONS // N_ROWS) == 0:
            rows.append((time.perf_counter(), *resources()))

    monkeypatch.setattr(StudyProgress, "__call__", note)
    begin = time.perf_counter()
    summary = tune(
        "cheap_objective:Cheap", method="pso", evaluations=N_EVALUATIONS, particles=10, workers=2
    )
    assert summary.evaluations == N_EVALUATIONS
    with capsys.disabled():
        print("\n evaluations   s/evaluation   MiB   handles   threads")
        for number, (at, resident, handles, threads) in enumerate(rows, start=1):
            seconds = (at - begin) / (N_EVALUATIONS // N_ROWS)
            begin = at
            done = number * N_EVALUATIONS // N_ROWS
            print(f"{done:12d} {seconds:14.3f} {resident:5.0f} {handles:9d} {threads:9d}")
    _, first, handles, threads = rows[0]
    _, last, handles_last, threads_last = rows[-1]
    assert last < 1.1 * first
    assert handles_last <= handles + 5
    assert threads_last <= threads + 5
