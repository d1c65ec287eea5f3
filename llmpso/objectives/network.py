"""What all trained networks share as objectives: epochs by fidelity, seeds and checkpoints."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from llmpso.errors import SpecError
from llmpso.objectives.latency import latency_ms
from llmpso.objectives.training import (
    FitResult,
    FitSettings,
    check_positive,
    choose_device,
    fit,
    n_epochs,
)
from llmpso.objectives.tunables import Tunables
from llmpso.space import Params, SearchSpace
from llmpso.space.constraints import Constraint
from llmpso.trial import Evaluation

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class NetworkLimits:
    """How large and how slow a network may be; no limit where None."""

    max_parameters: int | None = None
    """Weights; a larger network is not trained."""
    max_latency_ms: float | None = None
    """Of one prediction on one thread; a slower network is measured and not trained."""


NO_LIMITS = NetworkLimits()

LATENCY_VERSION = 2
"""Raise it whenever a latency is measured otherwise."""

GOALS = ("error", "latency_ms", "parameters")
"""What may be lowered of a network: its validation error is always the first."""


def network_goals(asked: Sequence[str]) -> tuple[str, ...]:
    """The goals of a network, the error first; none if none is asked for.

    Raises:
        SpecError: One is none of them.
    """
    if unknown := [name for name in asked if name not in GOALS]:
        raise SpecError(
            f"goals names {unknown[0]!r}; of a network it must be one of: {', '.join(GOALS)}"
        )
    return (GOALS[0], *(name for name in asked if name != GOALS[0])) if asked else ()


@dataclass(frozen=True, slots=True)
class FitProblem:
    """What one network is fitted to; see `llmpso.objectives.training.fit`."""

    batch_loss: Callable[[Tensor], Tensor]
    validation_error: Callable[[], float]
    n_samples: int
    settings: FitSettings


class NetworkObjective(ABC, Generic[Network]):
    """A network to be trained, by its hyperparameters.

    An evaluation is a function of parameters, fidelity and seed only, identical to the last bit
    on a CPU whatever other threads do, because torch's global generator is not used.

    Args:
        tunables: All hyperparameters of the network.
        space: Those that may be tried.
        max_epochs: Epochs at fidelity 1.
        device: `auto`, `cpu` or `cuda`.
        limits: How large and how slow a network may be.
        goals: What is lowered beside the error, of `GOALS`.

    Attributes:
        goals: All of them, the error first; empty if there is nothing beside it.

    Raises:
        SpecError: An option is out of range.
    """

    def __init__(
        self,
        tunables: Tunables,
        space: SearchSpace | None,
        max_epochs: int,
        device: str,
        limits: NetworkLimits = NO_LIMITS,
        goals: Sequence[str] = (),
    ) -> None:
        self.goals = network_goals(goals)
        self.space = space or tunables.named("standard")
        tunables.check(self.space)
        check_positive("max_epochs", max_epochs)
        self._tunables, self.max_epochs, self._limits = tunables, max_epochs, limits
        self.device = choose_device(device)
        if limits.max_parameters is not None:
            most = limits.max_parameters
            fits = Constraint(
                f"parameters of the network <= {most:,}",
                lambda params: self.n_parameters(params) <= most,
            )
            self.space = self.space.with_constraints(fits)

    def evaluate(self, params: Params, *, fidelity: float, seed: int) -> Evaluation:
        """Train one network.

        Args:
            params: One value per hyperparameter of the space.
            fidelity: Share of the epochs, in (0, 1].
            seed: Decides initial weights, batches and all else that is drawn.

        Returns:
            The validation error; NaN if training diverged.

        Raises:
            SpaceError: Parameters are outside the space.
            SpecError: The fidelity does.
        """
        return self._trained(params, fidelity, seed, None)

    def train_to(
        self, params: Params, *, fidelity: float, seed: int, checkpoint: Path
    ) -> Evaluation:
        """Train one network on from its checkpoint; see `llmpso.objectives.base.Resumable`.

        Raises:
            SpaceError: Parameters are outside the space.
            SpecError: The fidelity does.
        """
        return self._trained(params, fidelity, seed, checkpoint)

    def n_parameters(self, params: Params) -> int:
        """Weights of the network of a configuration, which is not trained for that.

        Raises:
            SpaceError: Parameters are outside the space.
        """
        return count_weights(self._empty(self._tunables.complete(self.space, params)))

    @property
    def _decisive(self) -> dict[str, object]:
        """What decides which values a trial has, or whether it has any, for the fingerprint."""
        limit = self._limits.max_latency_ms
        goals = {"goals": self.goals} if self.goals else {}
        latency = {"latency": LATENCY_VERSION} if self._measures_latency else {}
        return goals | latency | ({} if limit is None else {"max_latency_ms": limit})

    @property
    def _measures_latency(self) -> bool:
        return self._limits.max_latency_ms is not None or "latency_ms" in self.goals

    @property
    def _fixed(self) -> dict[str, object]:
        """What the space leaves out, with its value."""
        return {k: v for k, v in self._tunables.fixed.items() if k not in self.space}

    def _trained(
        self, params: Params, fidelity: float, seed: int, checkpoint: Path | None
    ) -> Evaluation:
        chosen = self._tunables.complete(self.space, params)
        epochs = n_epochs(fidelity, self.max_epochs)
        network = self._network(chosen, torch.Generator().manual_seed(seed))
        latency = self._latency_ms(network, chosen)
        limit = self._limits.max_latency_ms
        constraints = {} if limit is None else {"latency_ms": (latency, limit)}
        if (slow := Evaluation(math.nan, constraints=constraints)).is_infeasible:
            return slow
        network = network.to(self.device)
        generator = torch.Generator(self.device).manual_seed(seed)
        problem = self._fit_problem(network, chosen, generator)
        result = fit(
            network,
            problem.batch_loss,
            problem.validation_error,
            problem.n_samples,
            replace(problem.settings, max_epochs=epochs),
            generator,
            checkpoint,
        )
        measured = self._evaluation(network, chosen, result)
        of_goals = {
            "error": measured.value,
            "latency_ms": latency,
            "parameters": float(count_weights(network)),
        }
        values = {name: of_goals[name] for name in self.goals}
        return replace(measured, constraints=constraints, values=values)

    def _latency_ms(self, network: Network, chosen: Params) -> float:
        """The latency, where it counts; before the training, because weights do not change it."""
        if not self._measures_latency:
            return math.nan
        example = self._example(chosen)
        # As it serves: in training mode the statistics of a batch would be those of the example.
        network.eval()
        return latency_ms(lambda: network(example))

    def _evaluation(self, network: Network, chosen: Params, result: FitResult) -> Evaluation:
        metrics = {
            "epochs": float(result.n_epochs),
            "parameters": float(count_weights(network)),
        }
        curves = self._curves(result)
        if result.diverged:
            return Evaluation(math.nan, metrics, curves, is_final=True)
        with torch.inference_mode():
            measured = self._measured(network, chosen, result)
        return replace(
            measured,
            metrics=metrics | dict(measured.metrics) | {"best_epoch": float(result.best_epoch)},
            curves=curves,
            is_final=result.ended,
        )

    @abstractmethod
    def _empty(self, chosen: Params) -> Network:
        """A network whose weights are not set."""

    @abstractmethod
    def _network(self, chosen: Params, generator: torch.Generator) -> Network:
        """A network with its first weights, on the CPU."""

    @abstractmethod
    def _example(self, chosen: Params) -> Tensor:
        """Input of one prediction, on the CPU."""

    @abstractmethod
    def _fit_problem(
        self, network: Network, chosen: Params, generator: torch.Generator
    ) -> FitProblem:
        """What a network is fitted to; `max_epochs` of the settings is that of fidelity 1."""

    @abstractmethod
    def _curves(self, result: FitResult) -> dict[str, tuple[float, ...]]:
        """The figures of each epoch in units for people."""

    @abstractmethod
    def _measured(self, network: Network, chosen: Params, result: FitResult) -> Evaluation:
        """The lowest error of a training, with metrics, model and artifacts of the network."""


def count_weights(network: nn.Module) -> int:
    """Number of weights of a network."""
    return sum(weights.numel() for weights in network.parameters())
