"""Several trained models as one: it is called and stored as each of them, and averages them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from llmpso.errors import DataError, ModelError
from llmpso.extras import is_of
from llmpso.objectives.base import ReadsColumns, SavableModel
from llmpso.objectives.network_files import damage_named
from llmpso.objectives.state_dict import is_state_dict

Model = TypeVar("Model")

DESCRIPTION = "ensemble.json"
"""Beside the folders of the members: their weights, and what reads them."""


@dataclass(frozen=True, eq=False)
class AveragedModel:
    """Models that can be saved, and how much each counts."""

    loader_module: ClassVar[str] = __name__

    members: tuple[SavableModel, ...]
    weights: tuple[float, ...]
    """They sum to 1."""

    def predict(self, inputs: Any) -> Any:
        """The weighted mean of the predictions, for the rows that all members predict.

        Raises:
            DataError: The members predict different rows, or one of them refuses the inputs.
        """
        return weighted_mean([member.predict(inputs) for member in self.members], self.weights)

    @property
    def example(self) -> Any:
        """The longest example of a member, which is enough for each."""
        return max((member.example for member in self.members), key=len)

    @property
    def untyped(self) -> tuple[str, ...]:
        """Columns that the members read themselves."""
        first = self.members[0]
        return first.untyped if isinstance(first, ReadsColumns) else ()

    def save(self, directory: Path) -> None:
        """Write each member into a folder of its own, and `ensemble.json`."""
        for number, member in enumerate(self.members):
            (directory / str(number)).mkdir()
            member.save(directory / str(number))
        content = {"weights": self.weights, "loader_module": self.members[0].loader_module}
        (directory / DESCRIPTION).write_text(json.dumps(content, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path, read: Callable[[Path], Any]) -> Self:
        """Read back what `save` wrote.

        Args:
            directory: Where it is.
            read: Reads one member.

        Raises:
            DataError: The directory holds no such model, or a damaged one.
        """
        with damage_named(directory / DESCRIPTION, "ensemble"):
            content = json.loads((directory / DESCRIPTION).read_text(encoding="utf-8"))
            weights = tuple(map(float, content["weights"]))
        return cls(tuple(map(read, member_folders(directory))), weights)


def member_folders(directory: Path) -> list[Path]:
    """The folders of an ensemble's members; of a single model its own.

    Raises:
        DataError: The ensemble's description is damaged.
    """
    if not (directory / DESCRIPTION).exists():
        return [directory]
    with damage_named(directory / DESCRIPTION, "ensemble"):
        content = json.loads((directory / DESCRIPTION).read_text(encoding="utf-8"))
        return [directory / str(number) for number in range(len(content["weights"]))]


def single_or_averaged(directory: Path, read: Callable[[Path], Model]) -> "Model | AveragedModel":
    """Read back a model, or an average of such.

    Raises:
        DataError: The directory holds neither, or a damaged one.
    """
    is_ensemble = (directory / DESCRIPTION).exists()
    return AveragedModel.load(directory, read) if is_ensemble else read(directory)


def average(models: Sequence[Any], weights: Sequence[float]) -> Any:
    """One model that averages others: of their own kind, with their own inputs and outputs.

    Args:
        models: All `SavableModel`, `torch.nn.Module`, or estimators of scikit-learn.
        weights: Of each; they sum to 1.

    Raises:
        ModelError: They are of another kind.
    """
    first, weights = models[0], tuple(map(float, weights))
    if isinstance(first, SavableModel):
        return AveragedModel(tuple(models), weights)
    if is_of("torch.nn", "Module", first):
        from llmpso.objectives.averaged_modules import AveragedModule

        return AveragedModule(models, weights)
    if is_of("sklearn.base", "BaseEstimator", first):
        from llmpso.objectives.averaged_estimators import averaged_estimator

        return averaged_estimator(models, weights)
    kind = "state dict" if is_state_dict(first) else type(first).__name__
    raise ModelError(f"a {kind} cannot predict, so it cannot be averaged")


def weighted_mean(predictions: Sequence[Any], weights: Sequence[float]) -> Any:
    """The mean of arrays, or of series or frames of pandas, in the kind of the shortest.

    Those of pandas may begin with rows that not all have: a longer window predicts later.

    Raises:
        DataError: They are for different rows.
    """
    shortest = min(predictions, key=len)
    index = getattr(shortest, "index", None)
    last = [getattr(each, "iloc", each)[len(each) - len(shortest) :] for each in predictions]
    if any(
        len(each) != len(shortest) if index is None else not index.equals(cut.index)
        for each, cut in zip(predictions, last, strict=True)
    ):
        raise DataError("the members of the ensemble predict different rows")
    pairs = zip(last, weights, strict=True)
    mean = np.sum([np.asarray(each) * weight for each, weight in pairs], axis=0)
    if index is None:
        return mean
    labels = {"columns": shortest.columns} if shortest.ndim == 2 else {"name": shortest.name}
    return type(shortest)(mean, index=index, **labels)


def _load_pyfunc(path: str) -> AveragedModel:
    """What MLflow calls to read the model back."""
    content = json.loads(Path(path, DESCRIPTION).read_text(encoding="utf-8"))
    module = import_module(content["loader_module"])
    return AveragedModel.load(Path(path), lambda folder: module._load_pyfunc(str(folder)))
