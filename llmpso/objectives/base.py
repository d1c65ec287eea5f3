"""The protocol by which anything that can be trained is tuned."""

from typing import Protocol, runtime_checkable

from llmpso.space import Params, SearchSpace
from llmpso.trial import Evaluation


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
            was measured. Exceptions, NaN and running out of memory make a failed trial.
        """
        ...


@runtime_checkable
class DescribedObjective(Objective, Protocol):
    """An objective that also tells people, and the advisor, what it is."""

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
