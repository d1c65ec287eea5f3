"""Surfaces: every size of a network trained once, to be looked up ever after.

The paper tunes two numbers of a network, its layers and its units or filters. So few
configurations can all be trained, with several seeds each; then any number of searches can be
compared on real trainings without doing them again.
"""

import csv
import io
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from llmpso.benchmark.lookup_table import Grid
from llmpso.errors import DataError, SpecError
from llmpso.space import Floats, Ordinal, Params, SearchSpace
from llmpso.trial import Evaluation

LAYERS = (1, 2, 3, 4, 5, 6)
SEEDS = (0, 1, 2)

MEASURED = ("value", "test", "epochs", "seconds")
"""Columns of a surface: value and figure on the test part, epochs, and CPU seconds of a core."""


@dataclass(frozen=True, slots=True)
class Surface:
    """Which networks are trained, and how."""

    name: str
    width: str
    """The hyperparameter beside the layers."""
    widths: tuple[int, ...]
    test_metric: str
    options: Mapping[str, Any]
    """Of the objective."""

    @property
    def space(self) -> SearchSpace:
        """The grid."""
        return SearchSpace({"layers": Ordinal(LAYERS), self.width: Ordinal(self.widths)})

    @property
    def file(self) -> Path:
        """The surface that ships."""
        return Path(__file__).parent / "data" / f"surface_{self.name}.csv"

    def cells(self) -> Iterator["Cell"]:
        """All trainings, one seed after the other, so that a part of them is a surface too."""
        for seed in SEEDS:
            for params in self.space.configurations():
                yield Cell(params["layers"], params[self.width], seed)


@dataclass(frozen=True, slots=True)
class Cell:
    """One training."""

    layers: int
    width: int
    seed: int


SURFACES = {
    "lstm": Surface(
        name="lstm",
        width="hidden_units",
        widths=(*range(2, 12), 13, 16, 18, 20, 23, 26, 29, 33, 37, 42, 48, 53, 58, 64),
        test_metric="test_rmse",
        options={"horizon": 1, "window": 14, "max_epochs": 20, "device": "cpu"},
    ),
    "cnn": Surface(
        name="cnn",
        width="filters",
        widths=(*range(2, 19), 20, 22, 24, 26, 28, 30, 32),
        test_metric="test_accuracy",
        options={"max_epochs": 10, "device": "cpu"},
    ),
}
"""The paper's second and third scenario."""


def find_surface(name: str) -> Surface:
    """A surface by its name.

    Raises:
        SpecError: There is none.
    """
    if name not in SURFACES:
        raise SpecError(f"surface is {name!r}; it must be one of: {', '.join(SURFACES)}")
    return SURFACES[name]


def settings(surface: Surface, objective: Any) -> dict[str, Any]:
    """What a surface's values depend on, and what a reader should know of them."""
    return {
        "surface": surface.name,
        "metric": objective.metric,
        "description": objective.description,
        "options": dict(surface.options),
        "data": objective.describe_data().digest,
        "fingerprint": objective.fingerprint,
        "torch": version("torch"),
    }


def train_cell(surface: Surface, objective: Any, cell: Cell) -> dict[str, float]:
    """Train one network of a surface; the row of its table.

    Seconds are CPU time of the calling thread, so that what else runs on the machine counts
    little; a training must not use more threads than that.
    """
    begin = time.thread_time()
    params = {"layers": cell.layers, surface.width: cell.width}
    evaluation = objective.evaluate(params, fidelity=1.0, seed=cell.seed)
    seconds = time.thread_time() - begin
    metrics = evaluation.metrics
    measured = (evaluation.value, metrics[surface.test_metric], metrics["epochs"], seconds)
    place = {"layers": cell.layers, surface.width: cell.width, "seed": cell.seed}
    return place | dict(zip(MEASURED, measured, strict=True))


class SurfaceFile:
    """The rows of a surface on disk, with the settings that made them in its first line.

    Raises:
        DataError: The file holds a surface made with other settings.
    """

    def __init__(self, path: Path, surface: Surface, made_with: Mapping[str, Any]) -> None:
        self.path, self.surface = path, surface
        self._columns = ("layers", surface.width, "seed", *MEASURED)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# {json.dumps(made_with)}\n{','.join(self._columns)}\n")
        elif read_settings(path) != made_with:
            raise DataError(
                f"surface {str(path)!r} was made with other settings; name another file with out"
            )

    def missing(self) -> list[Cell]:
        """The cells that were not trained yet."""
        rows = read_rows(self.path)
        done = set(zip(rows["layers"], rows[self.surface.width], rows["seed"], strict=True))
        return [c for c in self.surface.cells() if (c.layers, c.width, c.seed) not in done]

    def add(self, row: Mapping[str, float]) -> None:
        """Write one row at the end."""
        line = io.StringIO()
        csv.DictWriter(line, self._columns, lineterminator="\n").writerow(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line.getvalue())


def read_settings(path: Path) -> dict[str, Any]:
    """What made a surface.

    Raises:
        DataError: The file is no surface.
    """
    try:
        with path.open(encoding="utf-8") as file:
            made_with: dict[str, Any] = json.loads(file.readline().removeprefix("#"))
    except (OSError, ValueError) as error:
        raise DataError(f"file {str(path)!r} holds no surface: {error}") from error
    return made_with


def read_rows(path: Path) -> pd.DataFrame:
    """All trainings of a surface."""
    return pd.read_csv(path, comment="#")


class SurfaceObjective(Grid):
    """A surface that ships, as an objective: the mean over its seeds.

    Raises:
        SpecError: There is no such surface.
    """

    def __init__(self, name: str) -> None:
        surface = find_surface(name)
        made_with, self._means = _load(name)
        choices = {"layers": LAYERS, surface.width: surface.widths}
        super().__init__(choices, self._means["value"])
        self.name = f"surface-{name}"
        self.metric: str = made_with["metric"]
        self.description: str = made_with["description"]

    def evaluate(self, params: Params, *, fidelity: float = 1.0, seed: int = 0) -> Evaluation:
        """Look a configuration up; fidelity and seed change nothing."""
        place = self.place(params)
        metrics = {name: float(means[place]) for name, means in self._means.items()}
        return Evaluation(metrics.pop("value"), metrics)


@lru_cache(maxsize=len(SURFACES))
def _load(name: str) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Settings, and means over the seeds, shape (n_layers, n_widths)."""
    surface = find_surface(name)
    means = read_rows(surface.file).groupby(["layers", surface.width])[list(MEASURED)].mean()
    shape = (len(LAYERS), len(surface.widths))
    by_name = {name: means[name].to_numpy(np.float64).reshape(shape) for name in MEASURED}
    return read_settings(surface.file), by_name
