"""Workers that several studies share: none trains another's code or data."""

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from llmpso.errors import SpecError
from llmpso.objectives.registry import ObjectiveSpec, forget_objectives
from llmpso.objectives.user_modules import forget_modules
from llmpso.options import DataOptions, RunOptions
from llmpso.running.runner import open_runner
from llmpso.running.worker_context import WorkerContext
from llmpso.trial import Source, Trial

TRIAL = Trial(number=0, params={"x": 0.5}, source=Source.INITIAL, iteration=0, particle=0, seed=1)


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], ObjectiveSpec]:
    """Writes a function, in two modules of a package, that returns a value."""
    (tmp_path / "space.yaml").write_text("x: {type: float, low: 0, high: 1}\n")
    (tmp_path / "edited_package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    text = "from edited_package import height\n\ndef train(params):\n    return height.HEIGHT\n"
    (tmp_path / "edited_package" / "fit.py").write_text(text)

    def write(value: float) -> ObjectiveSpec:
        (tmp_path / "edited_package" / "height.py").write_text(f"HEIGHT = {value}\n")
        forget_modules(["edited_package.fit", "edited_package.height", "edited_package"])
        forget_objectives()
        space = DataOptions(space_file=str(tmp_path / "space.yaml"))
        return ObjectiveSpec("edited_package.fit:train", space)

    return write


@pytest.mark.slow
def test_workers_that_outlive_a_study_run_the_code_of_the_next(edited, monkeypatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, dashboard_address=None, silence_logs=50
    ) as cluster:
        run = RunOptions(runner="dask", address=cluster.scheduler_address)
        for value in (1.0, 2.0, 1.0):
            with open_runner(edited(value), run, n_workers=1, n_threads=1) as measure:
                assert measure(TRIAL).trial.value == value


def test_a_worker_with_other_code_is_refused(edited) -> None:
    here = WorkerContext.here(edited(1.0), 1).for_a_cluster()
    edited(2.0)
    with pytest.raises(SpecError, match=r"has another edited_package/height.py than this study"):
        here.prepare()


def packed(contexts: Sequence[WorkerContext], file: Path) -> Path:
    """What a study sends."""
    file.write_bytes(pickle.dumps((contexts, TRIAL)))
    return file


def on_another_machine(code: str, sent: Path) -> subprocess.CompletedProcess[str]:
    """What a process prints that finds none of the user's files."""
    return subprocess.run(
        [sys.executable, "-c", code, str(sent)],
        cwd=Path.home(),
        capture_output=True,
        text=True,
        timeout=120,
    )


ELSEWHERE = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    contexts, trial = pickle.load(file)
for context in contexts:
    context.prepare()
    print(context.outcome(trial).trial.value)
"""


def test_a_machine_without_the_users_files_trains_what_was_sent(edited, tmp_path: Path) -> None:
    contexts = [WorkerContext.here(edited(value), 1).for_a_cluster() for value in (1.0, 2.0)]
    sent = packed(contexts, tmp_path / "sent")
    shutil.rmtree(tmp_path / "edited_package")
    (tmp_path / "space.yaml").unlink()
    told = on_another_machine(ELSEWHERE, sent)
    assert told.stdout.split() == ["1.0", "2.0"], told.stderr


TOGETHER = """
import pickle, sys, time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
with open(sys.argv[1], "rb") as file:
    contexts, trial = pickle.load(file)
mark = Path(sys.argv[1]).with_name("began")
with ThreadPoolExecutor(3) as threads:
    found = [threads.submit(contexts[0].outcome, trial)]
    while not mark.exists():
        time.sleep(0.01)
    for context in contexts[1:]:
        time.sleep(0.5)
        found.append(threads.submit(context.outcome, trial))
for future in found:
    print(future.exception() or future.result().trial.value)
"""


def test_a_study_never_trains_the_code_of_another_on_the_same_worker(
    edited, tmp_path: Path
) -> None:
    """They import a part of their code only when it is needed, and the third has no such part."""
    (tmp_path / "edited_package" / "fit.py").write_text(f"""
import time
from pathlib import Path

def train(params):
    Path({str(tmp_path)!r}, "began").touch()
    time.sleep(2.0)
    from edited_package.height import HEIGHT
    return HEIGHT
""")
    (tmp_path / "another.py").write_text("def train(params):\n    return 3.0\n")
    contexts = [WorkerContext.here(edited(value), 1).for_a_cluster() for value in (1.0, 2.0)]
    another = ObjectiveSpec("another:train", DataOptions(space_file=str(tmp_path / "space.yaml")))
    contexts += [WorkerContext.here(another, 1).for_a_cluster(), contexts[0]]
    sent = packed(contexts, tmp_path / "sent")
    shutil.rmtree(tmp_path / "edited_package")
    (tmp_path / "another.py").unlink()
    told = on_another_machine(TOGETHER, sent)
    of_older, of_newer, of_another, again = told.stdout.splitlines()
    assert (of_newer, of_another) == ("2.0", "3.0"), told.stderr
    assert of_older == again
    assert of_older.startswith("a later study brought other code to the worker on")


def test_a_worker_with_other_data_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "grown_data.py").write_text(f"""
from pathlib import Path
from llmpso import Evaluation, Float, SearchSpace

class Grown:
    name, metric, description = "grown", "m", "Reads its data once."
    space = SearchSpace({{"x": Float(0, 1)}})

    def __init__(self):
        self.data = self.fingerprint = Path({str(tmp_path)!r}, "data.csv").read_text()

    def evaluate(self, params, *, fidelity, seed):
        return Evaluation(float(self.data))
""")
    spec, contexts = ObjectiveSpec("grown_data:Grown"), []
    for data in ("1", "2"):
        (tmp_path / "data.csv").write_text(data)
        forget_objectives()
        contexts.append(WorkerContext.here(spec, 1).for_a_cluster())
        assert contexts[-1].outcome(TRIAL).trial.value == float(data)
    with pytest.raises(SpecError, match="the data of 'grown_data:Grown' changed on the worker"):
        contexts[0].prepare()
    assert contexts[1].outcome(TRIAL).trial.value == 2.0
