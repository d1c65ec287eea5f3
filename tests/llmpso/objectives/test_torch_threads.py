"""Cores for trainings: torch is limited before it computes, and never imported for that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STUDY = """
import sys
from llmpso.objectives.registry import ObjectiveSpec
from llmpso.options import DataOptions
from llmpso.running.worker_context import WorkerContext
from llmpso.trial import Source, Trial

spec = ObjectiveSpec("own:train", DataOptions(space_file="space.yaml"))
trial = Trial(0, {"x": 0.5}, Source.INITIAL, iteration=0, particle=0, seed=1)
outcome = WorkerContext.here(spec, n_threads=3).outcome(trial)
print(outcome.trial.value, outcome.trial.failure, "torch" in sys.modules)
"""


def printed(folder: Path, train: str) -> str:
    """What a worker says of one training by a function of its own."""
    (folder / "space.yaml").write_text("x: {type: float, low: 0, high: 1}\n")
    (folder / "own.py").write_text(train)
    program = [sys.executable, "-c", STUDY]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_worker_that_trains_something_else_does_not_import_torch(tmp_path) -> None:
    assert printed(tmp_path, "def train(params):\n    return 1.5\n") == "1.5 None False"


@pytest.mark.parametrize(
    "train",
    [
        "import torch\n\ndef train(params):\n    return torch.get_num_threads()\n",
        "def train(params):\n    import torch\n    return torch.get_num_threads()\n",
        "def train(params):\n    import torch.nn\n    return torch.get_num_threads()\n",
    ],
)
def test_the_first_training_has_its_cores_wherever_it_imports_torch(tmp_path, train) -> None:
    assert printed(tmp_path, train) == "3.0 None True"


def test_what_a_study_limits_is_not_what_the_user_imports_later(tmp_path) -> None:
    """After a study in threads, a notebook that imports torch itself has all of its cores."""
    program = """
import threading
from llmpso.objectives.torch_threads import limit_threads

training = threading.Thread(target=limit_threads, args=(3,))
training.start()
training.join()
import torch
print(torch.get_num_threads())
"""
    cores = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=cores, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"
