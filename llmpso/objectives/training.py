"""The loop that fits a network: shuffled batches, clipped gradients, early stopping."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from llmpso.errors import SpecError


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


@dataclass(slots=True)
class FitResult:
    """What happened while a network was fitted; epochs count from 1."""

    train_losses: list[float] = field(default_factory=list)
    """Mean loss over the batches of each epoch, dropout included."""
    validation_errors: list[float] = field(default_factory=list)
    """Validation error after each epoch."""
    best_epoch: int = 0
    """Epoch of the lowest validation error, whose weights the network keeps."""
    diverged: bool = False
    """Whether a loss was not finite; fitting ended there and the weights mean nothing."""

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
    """
    optimizer = _optimizer(network, settings)
    result, best_weights = FitResult(), _copy(network)
    while len(result.train_losses) < settings.max_epochs:
        network.train()
        batches = _batches(n_samples, settings, generator)
        loss = _train_epoch(network, batch_loss, batches, optimizer, settings)
        network.eval()
        with torch.inference_mode():
            error = validation_error() if math.isfinite(loss) else math.nan
        if not math.isfinite(error):
            result.diverged = True
            return result
        if error < result.best_error:
            result.best_epoch, best_weights = len(result.train_losses) + 1, _copy(network)
        result.train_losses.append(loss)
        result.validation_errors.append(error)
        if len(result.train_losses) - result.best_epoch >= settings.patience:
            break
    network.load_state_dict(best_weights)
    return result


def n_epochs(fidelity: float, max_epochs: int) -> int:
    """Epochs at a share of the full effort.

    Raises:
        SpecError: The share does not lie in (0, 1].
    """
    if not 0 < fidelity <= 1:
        raise SpecError(f"fidelity is {fidelity!r}; it must lie in (0, 1]")
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


def _train_epoch(
    network: nn.Module,
    batch_loss: Callable[[Tensor], Tensor],
    batches: list[Tensor],
    optimizer: torch.optim.Optimizer,
    settings: FitSettings,
) -> float:
    """Mean loss of an epoch; NaN or infinite as soon as that of one batch is."""
    total, n_samples = 0.0, 0
    for indices in batches:
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
