"""LCBench: networks on 34 data sets of tables, 52 epochs each, as a surrogate of YAHPO Gym.

Zimmer, Lindauer and Hutter, Auto-PyTorch Tabular, 2021; Pfisterer et al., YAHPO Gym, 2022. The
folder `lcbench` of the public repository `yahpo_data` is given by an option: it is no part of this
library. The surrogate is smooth and without noise, which flatters every method that stops early.
"""

import json
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from llmpso.errors import DataError, SpecError
from llmpso.space import Dimension, Float, Floats, Integer, Params, SearchSpace
from llmpso.trial import Evaluation

EPOCHS = 52

DEVELOPMENT = (
    *("3945", "126025", "146212", "167152", "167181", "167190"),
    *("168329", "168335", "168910", "189865", "189905", "189909"),
)
"""Data sets on which methods may be developed; the others are for reports."""

NAMES = (
    *("batch_size", "learning_rate", "momentum", "weight_decay"),
    *("num_layers", "max_units", "max_dropout"),
)
"""Hyperparameters in the order of the model's inputs, after the epoch."""

OUTPUTS = (
    *("time", "val_accuracy", "val_cross_entropy", "val_balanced_accuracy"),
    *("test_cross_entropy", "test_balanced_accuracy"),
)

METRIC = "val_cross_entropy"

N_REFERENCE = 10_000
"""Configurations whose full trainings say what the best 1% is."""


class LCBench:
    """One data set: a training is looked up epoch by epoch.

    Args:
        folder: With `model.onnx`, `config_space.json` and `encoding.json`.
        task: Number of the data set at OpenML.

    Attributes:
        max_epochs: Of a full training.

    Raises:
        SpecError: onnxruntime is not installed, or there is no such data set.
        DataError: The folder is not that of LCBench.
    """

    max_epochs = EPOCHS
    metric = METRIC

    def __init__(self, folder: Path, task: str) -> None:
        self.name = f"lcbench-{task}"
        codes, described = _read(folder, "encoding.json"), _read(folder, "config_space.json")
        if task not in codes["OpenML_task_id"]:
            raise SpecError(f"data set {task!r} is not in {folder}")
        self.description = (
            "A fully connected network with a funnel of layers is trained by SGD with momentum "
            f"for {EPOCHS} epochs on a data set of tables: OpenML task {task}."
        )
        self._code = codes["OpenML_task_id"][task]
        self.space = _space(described["hyperparameters"])
        self._model = _model(folder / "model.onnx")

    @cached_property
    def reference(self) -> Floats:
        """Values of full trainings of random configurations, rising, shape (N_REFERENCE,)."""
        drawn = np.random.default_rng(0).random((N_REFERENCE, len(NAMES)))
        found = self._outputs([self.space.decode(place) for place in drawn], EPOCHS)
        return np.sort(found[:, OUTPUTS.index(METRIC)])

    def evaluate(self, params: Params, *, fidelity: float, seed: int) -> Evaluation:
        """The error after a share of the epochs, and their time; the seed changes nothing."""
        # A share of a whole number of epochs may be a hair more than it.
        epochs = math.ceil(fidelity * EPOCHS - 1e-9)
        (found,) = self._outputs([params], epochs)
        metrics = {"epochs": float(epochs), "seconds": float(found[OUTPUTS.index("time")])}
        return Evaluation(float(found[OUTPUTS.index(METRIC)]), metrics)

    def train_to(
        self, params: Params, *, fidelity: float, seed: int, checkpoint: Path
    ) -> Evaluation:
        """As `evaluate`: a looked-up training needs no checkpoint."""
        return self.evaluate(params, fidelity=fidelity, seed=seed)

    def _outputs(self, configurations: list[Params], epoch: int) -> Floats:
        """All that the surrogate knows, shape (n_configurations, n_outputs)."""
        inputs = [[epoch, *(params[name] for name in NAMES)] for params in configurations]
        codes = np.full((len(inputs), 1), self._code, dtype=np.int32)
        feed = {"x_cat": codes, "x_cont": np.array(inputs, dtype=np.float32)}
        found: Floats = self._model.run(None, feed)[0]
        return found.astype(np.float64)


def tasks_in(folder: Path) -> list[str]:
    """The data sets of a folder, those for development first.

    Raises:
        DataError: The folder is not that of LCBench.
    """
    found = _read(folder, "config_space.json")["hyperparameters"]
    choices = next(each["choices"] for each in found if each["name"] == "OpenML_task_id")
    return [*DEVELOPMENT, *(task for task in choices if task not in DEVELOPMENT)]


def _read(folder: Path, name: str) -> Any:
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"lcbench is {str(folder)!r}, but {name} in it cannot be read ({error}); take the "
            "folder `lcbench` of the repository yahpo_data"
        ) from error


def _space(described: list[dict[str, Any]]) -> SearchSpace:
    found = {each["name"]: each for each in described}
    return SearchSpace({name: _dimension(found[name]) for name in NAMES})


def _dimension(described: dict[str, Any]) -> Dimension:
    kind = Integer if described["type"] == "uniform_int" else Float
    return kind(described["lower"], described["upper"], log=described["log"])


def _model(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SpecError(
            "lcbench needs onnxruntime, which is not installed: pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options)
