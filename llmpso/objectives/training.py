"""The loop that fits a network: shuffled batches, clipped gradients, early stopping."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from llmpso.errors import SpecError
from llmpso.objectives.checkpoint import load_checkpoint, save_checkpoint

RISE = 0.25
"""Share of a cycle in which the learning rate rises."""


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How a network is fitted."""

    learning_rate: float
    max_epochs: int
    batch_size: int
    max_samples: int
    """Samples drawn per epoch, a new choice each time; all of them if there are fewer."""
    patience: int = 8
    """Epochs without a better validation error after which fitting ends."""
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    cycle_epochs: int | None = None
    """Epochs over which the learning rate rises to its highest value and falls to 0 (one cycle:
    Smith and Topin 2019); it is constant if None. A training may end before them."""


@dataclass(slots=True)
class FitResult:
    """What happened while a network was fitted; epochs count from 1."""

    train_losses: list[float] = field(default_factory=list)
    """Mean loss over the batches of each epoch, dropout included."""
    validation_errors: list[float] = field(default_factory=list)
    """Validation error after each epoch."""
    best_epoch: int = 0
    """Epoch of the lowest validation error; the network ends with its weights."""
    diverged: bool = False
    """Whether a loss was not finite; fitting ended there and the weights mean nothing."""
    ended: bool = False
    """Whether fitting ended by itself: more epochs would change nothing."""

    @property
    def n_epochs(self) -> int:
        """Epochs that were fitted to their end."""
        return len(self.train_losses)

    @property
    def best_error(self) -> float:
        """Lowest validation error; infinite before the first epoch."""
        return min(self.validation_errors, default=math.inf)


def fit(
    network: nn.Module,
    batch_loss: Callable[[Tensor], Tensor],
    validation_error: Callable[[], float],
    n_samples: int,
    settings: FitSettings,
    generator: torch.Generator,
    checkpoint: Path | None = None,
) -> FitResult:
    """Fit a network; it ends with the weights of its best epoch, in evaluation mode.

    Args:
        network: Changed in place.
        batch_loss: Loss on the training samples with some indices, shape (batch_size,).
        validation_error: Error of the network on the validation part, lower is better; called
            in evaluation and inference mode.
        n_samples: Number of training samples.
        settings: How to fit.
        generator: Source of the batches, on the device of the samples; nothing else is drawn
            here.
        checkpoint: File to resume from, if it exists, and to save the state in. On a CPU the
            result is that of a training which was never interrupted, to the last bit.
    """
    fitting = _Fitting(network, _optimizer(network, settings), generator)
    if checkpoint is not None:
        fitting.restore(load_checkpoint(checkpoint), settings.max_epochs)
    result = fitting.result
    while not result.ended and result.n_epochs < settings.max_epochs:
        network.train()
        batches = _batches(n_samples, settings, generator)
        rates = _learning_rates(settings, result.n_epochs, len(batches))
        loss = _train_epoch(network, batch_loss, batches, rates, fitting.optimizer, settings)
        network.eval()
        with torch.inference_mode():
            error = validation_error() if math.isfinite(loss) else math.nan
        fitting.note(loss, error, settings.patience)
    if checkpoint is not None:
        save_checkpoint(checkpoint, fitting.state())
    network.eval()
    if not result.diverged:
        network.load_state_dict(fitting.best_weights)
    return result


class _Fitting:
    """A training between two epochs: all that the next one depends on."""

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
    ) -> None:
        self.optimizer, self.result = optimizer, FitResult()
        self.best_weights = _copy(network)
        self._network, self._generator = network, generator

    def note(self, loss: float, error: float, patience: int) -> None:
        """Record an epoch; an error that is not finite ends the training."""
        result = self.result
        if not math.isfinite(error):
            result.diverged = result.ended = True
            return
        if error < result.best_error:
            result.best_epoch, self.best_weights = result.n_epochs + 1, _copy(self._network)
        result.train_losses.append(loss)
        result.validation_errors.append(error)
        result.ended = result.n_epochs - result.best_epoch >= patience

    def state(self) -> dict[str, Any]:
        """Only tensors and plain values."""
        return {
            "network": self._network.state_dict(),
            "best_weights": self.best_weights,
            "optimizer": self.optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "result": asdict(self.result),
        }

    def restore(self, state: dict[str, Any] | None, max_epochs: int) -> None:
        """Resume from a state, if there is one that is not further than this training goes."""
        if state is None or len(state["result"]["train_losses"]) > max_epochs:
            return
        self._network.load_state_dict(state["network"])
        self.best_weights = state["best_weights"]
        self.optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])
        self.result = FitResult(**state["result"])


def n_epochs(fidelity: float, max_epochs: int) -> int:
    """Epochs at a share of the full effort.

    Raises:
        SpecError: The share is not in (0, 1].
    """
    if not 0 < fidelity <= 1:
        raise SpecError(f"fidelity is {fidelity!r}; it must be in (0, 1]")
    return math.ceil(fidelity * max_epochs)


def check_positive(name: str, value: int) -> None:
    """Raise `SpecError` unless an option is at least 1."""
    if value < 1:
        raise SpecError(f"{name} is {value!r}; it must be at least 1")


def choose_device(name: str) -> torch.device:
    """The device of a name; `auto` is CUDA where there is one, else the CPU.

    Raises:
        SpecError: There is no such device.
    """
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_cuda else "cpu")
    if name not in ("cpu", "cuda"):
        raise SpecError(f"device is {name!r}; it must be 'auto', 'cpu' or 'cuda'")
    if name == "cuda" and not has_cuda:
        raise SpecError("device is 'cuda', but torch finds no CUDA device; take 'auto' or 'cpu'")
    return torch.device(name)


def _optimizer(network: nn.Module, settings: FitSettings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        network.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def _batches(n_samples: int, settings: FitSettings, generator: torch.Generator) -> list[Tensor]:
    order = torch.randperm(n_samples, generator=generator, device=generator.device)
    drawn = order[: settings.max_samples]
    starts = range(0, len(drawn), settings.batch_size)
    return [drawn[start : start + settings.batch_size] for start in starts]


def _learning_rates(settings: FitSettings, epoch: int, n_batches: int) -> list[float]:
    """One per batch of an epoch, which counts from 0."""
    highest, epochs = settings.learning_rate, settings.cycle_epochs
    if epochs is None:
        return [highest] * n_batches
    places = ((epoch + (batch + 0.5) / n_batches) / epochs for batch in range(n_batches))
    return [highest * min(place / RISE, (1 - place) / (1 - RISE)) for place in places]


def _train_epoch(
    network: nn.Module,
    batch_loss: Callable[[Tensor], Tensor],
    batches: list[Tensor],
    rates: list[float],
    optimizer: torch.optim.Optimizer,
    settings: FitSettings,
) -> float:
    """Mean loss of an epoch; NaN or infinite as soon as that of one batch is."""
    total, n_samples = 0.0, 0
    for indices, rate in zip(batches, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = batch_loss(indices)
        value = loss.item()
        if not math.isfinite(value):
            return value
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), settings.max_gradient_norm)
        optimizer.step()
        total, n_samples = total + value * len(indices), n_samples + len(indices)
    return total / n_samples


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
