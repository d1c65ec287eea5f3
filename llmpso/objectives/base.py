"""The protocols of an objective: what it must have, and what it may support besides."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from llmpso.objectives.held_out import HeldOut
from llmpso.space import Params, SearchSpace
from llmpso.trial import Evaluation

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike


@runtime_checkable
class Objective(Protocol):
    """Something with hyperparameters: called once per trial, possibly from several threads."""

    def evaluate(self, params: Params, *, fidelity: float, seed: int) -> Evaluation:
        """Train and measure one configuration.

        Args:
            params: One value per hyperparameter, in the user's units.
            fidelity: Share of the full training effort, in (0, 1].
            seed: The only source of randomness an evaluation may use.

        Returns:
            The value to minimise (flip a metric that is better when higher), and what else
            was measured. Exceptions, NaN and running out of memory make a failed trial. One that
            calls `llmpso.report` as it trains can be stopped early.
        """
        ...


@runtime_checkable
class Resumable(Objective, Protocol):
    """An objective whose trainings can stop and be resumed: racing needs that."""

    def train_to(
        self, params: Params, *, fidelity: float, seed: int, checkpoint: Path
    ) -> Evaluation:
        """Train one configuration up to a fidelity, from where its checkpoint got to.

        Args:
            params: One value per hyperparameter, in the user's units.
            fidelity: Share of the full training effort, in (0, 1].
            seed: The only source of randomness an evaluation may use.
            checkpoint: File of this training alone, to be left with its state. Where it is not
                there yet, or is further than `fidelity`, the training starts from the beginning.

        Returns:
            Exactly what `evaluate` returns for the same arguments, metrics of the whole training
            so far; `is_final` where the training ended by itself and would not continue.
        """
        ...


@runtime_checkable
class DescribedObjective(Objective, Protocol):
    """An objective with a description for people and for the advisor."""

    @property
    def name(self) -> str:
        """Short name, fit for a registered model."""
        ...

    @property
    def metric(self) -> str:
        """Name and unit of the value, for example `validation RMSE (AQI points)`."""
        ...

    @property
    def description(self) -> str:
        """What is tuned, on what data, in two or three sentences; part of the prompt."""
        ...

    @property
    def space(self) -> SearchSpace:
        """The space to search when the user names none."""
        ...


@runtime_checkable
class SupportsFingerprint(Protocol):
    """An objective that says whether values of another day are still its own.

    What a value depends on is its code and its data. The code of a project is followed along its
    imports; an objective states here whatever else it reads. One without this
    member may read anything: a retuning, which is there for data that changes, reuses nothing of
    it, and a study of `llmpso tune` is resumed wherever its code is the same.
    """

    @property
    def fingerprint(self) -> str | None:
        """Hash of its data and settings, and of code that is not a file of the project.

        Equal only where equal parameters, fidelity and seed give equal values; None if that is
        not known. It is read when a study begins, and once more at its end.
        """
        ...


@runtime_checkable
class SupportsBaselines(Protocol):
    """An objective that knows what a tuned model must beat."""

    def baselines(self) -> Mapping[str, Mapping[str, float]]:
        """Figures of simple models on the same data, by model and by figure."""
        ...


@runtime_checkable
class SupportsNotes(Protocol):
    """An objective that did something to its data, or chose something, that people should know."""

    @property
    def notes(self) -> tuple[str, ...]:
        """One plain sentence each; empty if there is nothing to say."""
        ...


def notes_of(objective: object) -> tuple[str, ...]:
    """What people should know of an objective's data; nothing if it has no notes."""
    return tuple(objective.notes) if isinstance(objective, SupportsNotes) else ()


@runtime_checkable
class SupportsGoals(Protocol):
    """An objective of several goals: its evaluations have `values`."""

    @property
    def goals(self) -> tuple[str, ...]:
        """Names of the values, the first being that of a trial; empty if there is one only."""
        ...


def goals_of(objective: object) -> tuple[str, ...]:
    """The names of an objective's goals; none if it has one."""
    return tuple(objective.goals) if isinstance(objective, SupportsGoals) else ()


@runtime_checkable
class SaysDeterministic(Protocol):
    """An objective that says whether its seed matters."""

    deterministic: bool
    """Whether every evaluation of a configuration gives the same value."""


def is_deterministic(objective: object) -> bool:
    """Whether an objective says that its seed does not matter."""
    return isinstance(objective, SaysDeterministic) and objective.deterministic is True


@runtime_checkable
class SupportsHoldOut(Protocol):
    """An objective that can evaluate a trained model on a hold-out set."""

    def held_out(self, model: Any) -> "HeldOut | ArrayLike":
        """Losses of a model, its own or one read back from MLflow, on the newest data.

        One number per sample, oldest first; as `HeldOut`, where neighbours are correlated.
        """
        ...


@runtime_checkable
class SupportsEnsemble(Protocol):
    """An objective whose models can be averaged."""

    def validated(self, model: Any) -> "tuple[ArrayLike, ArrayLike]":
        """What a model predicts of the validation data, and the truth, one per sample.

        Numbers, oldest first; or for each sample the probabilities of the classes, and the index
        of the true one.
        """
        ...


@runtime_checkable
class SupportsLiveLosses(Protocol):
    """An objective that finds out what became of predictions that a model made in production."""

    def live_losses(self, predictions: "pd.DataFrame", after: str) -> HeldOut | None:
        """Losses of predictions whose truth is in the data by now; None if there are none.

        Args:
            predictions: The label of each row first, as text, then the prediction; a row that
                was predicted again comes last.
            after: Label of the last row that the model knew, as of `last_label`.
        """
        ...


@runtime_checkable
class SupportsReport(Protocol):
    """An objective that can show what a trained model does."""

    def records(self, model: Any) -> Mapping[str, Mapping[str, Any]]:
        """Small records that JSON can hold, by file name; `llmpso.pages` draws those it knows."""
        ...


@runtime_checkable
class SupportsDrift(Protocol):
    """An objective whose data can be watched for drift."""

    @property
    def frame(self) -> "pd.DataFrame":
        """All rows in the order of time, with the columns to watch."""
        ...

    @property
    def n_held_out(self) -> int:
        """Newest rows of the frame, which no trial is chosen by."""
        ...


@runtime_checkable
class ReadsModels(Protocol):
    """An objective that reads its models itself: nothing beside the weights decides what runs."""

    def read_model(self, directory: Path) -> "SavableModel":
        """Read back what `SavableModel.save` wrote.

        Raises:
            DataError: The directory holds no such model, or a damaged one.
        """
        ...


@runtime_checkable
class SavableModel(Protocol):
    """A trained model that can be written to disk and read back without running foreign code."""

    loader_module: str
    """Import path of a module whose `_load_pyfunc(path)` reads back what `save` wrote."""

    def save(self, directory: Path) -> None:
        """Write weights and description into an existing, empty directory."""
        ...

    def predict(self, inputs: Any) -> Any:
        """Predictions for raw inputs, preprocessing included."""
        ...

    @property
    def example(self) -> Any:
        """A few raw inputs that `predict` takes; they give the model its signature."""
        ...


@runtime_checkable
class ReadsColumns(Protocol):
    """A trained model that reads some of its columns itself, whatever type they come in."""

    @property
    def untyped(self) -> tuple[str, ...]:
        """Columns that a server must pass on as they are: times, which it would misread."""
        ...
