"""TaskSet: Adam with 1,000 settings on tasks of text classification, 50 measurements each.

Metz et al., Using a Thousand Optimization Tasks to Learn Hyperparameter Search Strategies, 2020;
the files of the public repository of DPL (Kadra et al., 2023), whose folder is given by an option:
it is no part of this library. A search chooses among the settings, see `llmpso.benchmark.pool`.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from llmpso.benchmark.pool import Pool
from llmpso.errors import DataError, SpecError
from llmpso.space import Float, Floats, Params, SearchSpace
from llmpso.trial import Evaluation

RANGES = {
    "learning_rate": (1e-8, 10.0),
    "one_minus_beta1": (1e-4, 1.0),
    "one_minus_beta2": (1e-6, 1.0),
    "epsilon": (1e-10, 1e3),
    "l1": (1e-8, 10.0),
    "l2": (1e-8, 10.0),
    "linear_decay": (1e-7, 1e-4),
    "exponential_decay": (1e-6, 1e-3),
}
"""Hyperparameters of Adam, as they were drawn: all on a logarithmic scale."""

WORST = 100.0
"""Loss of a training that diverged, or came to more than this; that of chance is 0.69."""


class TaskSet:
    """One task: a training is looked up measurement by measurement.

    Args:
        folder: With a JSON file per task.
        task: Name of a file, without `.json`.

    Attributes:
        max_epochs: Measurements of a full training.

    Raises:
        DataError: The file is missing, or not one of TaskSet.
    """

    metric = "validation loss"

    def __init__(self, folder: Path, task: str) -> None:
        self.name = f"taskset-{task}"
        self.space = SearchSpace({name: Float(*ends, log=True) for name, ends in RANGES.items()})
        places, curves = _read(folder / f"{task}.json")
        self._places = np.array([self.space.encode(place) for place in places])
        self._losses = np.nan_to_num(np.array(curves, dtype=np.float64), nan=WORST).clip(max=WORST)
        # The first measurement is from before the training.
        self.max_epochs = self._losses.shape[1] - 1

    def pool(self) -> Pool:
        """All settings, for one study."""
        return Pool(self.space, self._places)

    @cached_property
    def reference(self) -> Floats:
        """Values of all full trainings, rising, shape (n_settings,)."""
        return np.sort(self._losses[:, -1])

    def evaluate(self, params: Params, *, fidelity: float, seed: int) -> Evaluation:
        """The loss of the nearest setting after a share of its training, whatever the seed."""
        # A share of a whole number may be a hair more than it.
        epochs = int(np.ceil(fidelity * self.max_epochs - 1e-9))
        place = np.asarray(self.space.encode(params))
        nearest = int(np.argmin(((self._places - place) ** 2).sum(axis=1)))
        return Evaluation(float(self._losses[nearest, epochs]), {"epochs": float(epochs)})

    def train_to(
        self, params: Params, *, fidelity: float, seed: int, checkpoint: Path
    ) -> Evaluation:
        """As `evaluate`: a looked-up training needs no checkpoint."""
        return self.evaluate(params, fidelity=fidelity, seed=seed)


def tasks_of(folder: Path) -> list[str]:
    """The tasks of a folder.

    Raises:
        SpecError: There are none.
    """
    found = sorted(path.stem for path in folder.glob("*.json"))
    if not found:
        raise SpecError(
            f"taskset is {str(folder)!r}; it must be a folder with a JSON file per task"
        )
    return found


def _read(path: Path) -> tuple[list[Params], list[list[float]]]:
    try:
        trainings = json.loads(path.read_text(encoding="utf-8"))
        return [_params(each["hp"]) for each in trainings], [
            each["valid"]["loss"] for each in trainings
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"taskset has {str(path)!r}, which cannot be read ({error})") from error


def _params(setting: dict[str, float]) -> dict[str, Any]:
    found = {name: setting.get(name, 0.0) for name in RANGES}
    found |= {f"one_minus_{name}": 1 - setting[name] for name in ("beta1", "beta2")}
    return {name: float(np.clip(found[name], *ends)) for name, ends in RANGES.items()}
