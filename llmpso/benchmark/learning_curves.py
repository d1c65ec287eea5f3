"""Learning curves: trainings done once, to be looked up epoch by epoch ever after.

So any number of races can be compared on real trainings in seconds. `python -m
llmpso.benchmark.learning_curves lstm curves_lstm.csv` trains the shipped ones again.
"""

import csv
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llmpso.errors import DataError, SpecError
from llmpso.space import Ordinal, Params, SearchSpace
from llmpso.trial import Evaluation

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)

CURVE = "curve"
"""Column of the validation errors after each epoch, with spaces between."""


@dataclass(frozen=True, slots=True)
class CurveGrid:
    """Which networks are trained, of those that `llmpso.objectives.registry` builds by name."""

    choices: Mapping[str, tuple[Any, ...]]
    metric: str
    """The curve that holds the value."""

    @property
    def space(self) -> SearchSpace:
        """The grid."""
        return SearchSpace({name: Ordinal(tried) for name, tried in self.choices.items()})


CURVES = {
    "lstm": CurveGrid(
        {
            "layers": (1, 2, 3),
            "hidden_units": (8, 16, 32),
            "learning_rate": RATES,
            "dropout": (0.0, 0.25),
        },
        "validation_rmse",
    ),
    "cnn": CurveGrid(
        {
            "layers": (1, 2, 3, 4, 5),
            "filters": (4, 8, 16),
            "learning_rate": RATES,
            "dropout": (0.0,),
        },
        "validation_error",
    ),
}
"""The objectives that ship, in their space `standard`."""


class CurveObjective:
    """Real trainings of one network, looked up; early stopping was theirs.

    Raises:
        SpecError: There are no such curves.
    """

    def __init__(self, name: str) -> None:
        if name not in CURVES:
            raise SpecError(f"curves are {name!r}; they must be one of: {', '.join(CURVES)}")
        self.name, self.space = f"curves-{name}", CURVES[name].space
        made_with, self._curves = _load(name)
        self.metric: str = made_with["metric"]
        self.max_epochs: int = made_with["max_epochs"]

    @property
    def values(self) -> list[float]:
        """The value of each configuration after its full training, the best first."""
        return sorted(min(curve) for curve in self._curves.values())

    def evaluate(self, params: Params, *, fidelity: float, seed: int) -> Evaluation:
        """The lowest error up to a share of the epochs; the seed changes nothing."""
        curve = self._curves[self.space.key(self.space.validate(params))]
        seen = curve[: math.ceil(fidelity * self.max_epochs)]
        is_final = fidelity == 1 or len(seen) == len(curve) < self.max_epochs
        return Evaluation(min(seen), {"epochs": float(len(seen))}, is_final=is_final)

    def train_to(
        self, params: Params, *, fidelity: float, seed: int, checkpoint: Path
    ) -> Evaluation:
        """As `evaluate`: a looked-up training needs no checkpoint."""
        return self.evaluate(params, fidelity=fidelity, seed=seed)


def train_curves(name: str, path: Path) -> None:
    """Train a whole grid, one network after the other, into a file."""
    from llmpso.objectives.registry import ObjectiveSpec, build_objective

    grid, objective = CURVES[name], build_objective(ObjectiveSpec(name))
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {json.dumps(_settings(objective))}\n")
        writer = csv.DictWriter(file, [*grid.choices, CURVE], lineterminator="\n")
        writer.writeheader()
        for params in grid.space.configurations():
            curve = objective.evaluate(params, fidelity=1.0, seed=0).curves[grid.metric]
            writer.writerow(params | {CURVE: " ".join(f"{error:.6g}" for error in curve)})


def _settings(objective: Any) -> dict[str, Any]:
    """What a reader of the curves should know."""
    names = ("metric", "max_epochs", "description", "fingerprint")
    return {name: getattr(objective, name) for name in names} | {"torch": version("torch")}


@lru_cache(maxsize=len(CURVES))
def _load(name: str) -> tuple[dict[str, Any], dict[tuple[Any, ...], list[float]]]:
    """Settings, and the curves by configuration."""
    path, grid = Path(__file__).parent / "data" / f"curves_{name}.csv", CURVES[name]
    with path.open(encoding="utf-8", newline="") as file:
        made_with: dict[str, Any] = json.loads(file.readline().removeprefix("#"))
        rows = list(csv.DictReader(file))
    curves = {
        grid.space.key({name: json.loads(row[name]) for name in grid.choices}): [
            *map(float, row[CURVE].split())
        ]
        for row in rows
    }
    if len(curves) != grid.space.size:
        raise DataError(f"{path} holds {len(curves)} of {grid.space.size} trainings")
    return made_with, curves


if __name__ == "__main__":
    train_curves(sys.argv[1], Path(sys.argv[2]))
