"""A convolutional network whose size is two numbers: layers, and filters in each.

Batch normalisation: Ioffe and Szegedy 2015; initial weights: He et al. 2015; averaging over the
image in place of dense layers: Lin et al. 2014.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)

BATCH = 256
"""Images per forward pass outside training; bounds memory."""

SMALLEST = 8
"""Pixels; a feature map with a shorter side is not pooled further."""

MAX_SHIFT = 0.25
"""Share of the image by which the strongest augmentation shifts."""


@dataclass(frozen=True)
class CNNArchitecture:
    """Sizes of a `CNNetwork`."""

    side: int
    """The shorter one of the image, in pixels."""
    channels: int
    classes: int
    layers: int
    filters: int | Sequence[int]
    """Of all layers, or of each."""
    kernel: int
    dropout: float

    @property
    def widths(self) -> list[int]:
        """Filters of each layer."""
        return (
            [self.filters] * self.layers if isinstance(self.filters, int) else list(self.filters)
        )


class CNNetwork(nn.Module):
    """Convolutions with batch normalisation, halved in size where they can be, then averaged.

    It takes pixels as they are in a file, and scales them itself.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, architecture: CNNArchitecture) -> None:
        """Leave the weights undefined: call `initialise`, or load them."""
        super().__init__()
        self.architecture = architecture
        self.register_buffer("mean", torch.zeros(architecture.channels, 1, 1))
        self.register_buffer("deviation", torch.ones(architecture.channels, 1, 1))
        self.body = nn.Sequential(*_body(architecture))
        self.head = _undrawn(
            nn.Linear(architecture.widths[-1], architecture.classes, device="meta")
        )
        # The overloads of torch's stubs leave this argument out.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def initialise(
        self, generator: torch.Generator, mean: Sequence[float], deviation: Sequence[float]
    ) -> None:
        """Draw all weights and take over how pixels are scaled.

        Args:
            generator: On the CPU, so that weights are the same on every device.
            mean: Of each channel over the training images.
            deviation: Likewise; not 0.
        """
        self.mean.copy_(torch.tensor(mean)[:, None, None])
        self.deviation.copy_(torch.tensor(deviation)[:, None, None])
        for module in self.body:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        nn.init.xavier_uniform_(self.head.weight, generator=generator)
        self.head.bias.zero_()

    def forward(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Logits, shape (n_images, n_classes).

        Args:
            pixels: uint8, shape (n_images, height, width, channels).
            generator: Source of the dropout mask, on the device of the pixels; no dropout
                without it.
        """
        # Permuted, not copied: channels stay last in memory, as convolutions like them.
        scaled = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
        features = self.body(scaled).mean(dim=(2, 3))
        share = self.architecture.dropout
        if generator is not None and share > 0:
            mask = torch.empty_like(features).bernoulli_(1 - share, generator=generator)
            features = features * mask.div_(1 - share)
        logits: Tensor = self.head(features)
        return logits


def augment(
    pixels: Tensor, indices: Tensor, strength: float, generator: torch.Generator
) -> Tensor:
    """Some images, each shifted at random, and mirrored with half the strength as probability.

    Args:
        pixels: uint8, shape (n_images, height, width, channels).
        indices: Which of them, shape (batch_size,).
        strength: In [0, 1]; 0 changes nothing, 1 shifts by up to a quarter of the image.
        generator: Source of shifts and mirrors, on the device of the pixels.

    Returns:
        Shape (batch_size, height, width, channels); what comes in from outside repeats the edge.
    """
    if strength == 0:
        return pixels[indices]
    _, height, width, _ = pixels.shape
    draws = torch.rand((3, len(indices), 1), generator=generator, device=pixels.device)
    rows = _shifted(height, draws[0], strength)
    columns = _shifted(width, draws[1], strength)
    columns = torch.where(draws[2] < strength / 2, width - 1 - columns, columns)
    return pixels[indices[:, None, None], rows[:, :, None], columns[:, None, :]]


def classify(network: CNNetwork, pixels: Tensor) -> Tensor:
    """Logits of many images without dropout, shape (n_images, n_classes)."""
    return torch.cat([network(some) for some in _chunks(pixels)])


def _shifted(side: int, draws: Tensor, strength: float) -> Tensor:
    """Which row or column goes where, shape (batch_size, side); draws in [0, 1)."""
    furthest = strength * MAX_SHIFT * side
    shift = ((2 * draws - 1) * furthest).round().long()
    return (torch.arange(side, device=draws.device) + shift).clamp_(0, side - 1)


def _body(architecture: CNNArchitecture) -> Iterator[nn.Module]:
    side, n_inputs, kernel = architecture.side, architecture.channels, architecture.kernel
    for n_filters in architecture.widths:
        # Batch normalisation has a bias of its own.
        convolution = nn.Conv2d(
            n_inputs, n_filters, kernel, padding=kernel // 2, bias=False, device="meta"
        )
        yield _undrawn(convolution)
        # Before the other two, which then take a quarter of the time.
        if side >= SMALLEST:
            yield nn.MaxPool2d(2)
            side //= 2
        yield from (nn.BatchNorm2d(n_filters), nn.ReLU(inplace=True))
        n_inputs = n_filters


def _undrawn(module: Module) -> Module:
    """On the CPU, by way of "meta", because a constructor draws from torch's global generator."""
    return module.to_empty(device="cpu")


def _chunks(pixels: Tensor) -> Iterator[Tensor]:
    return (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
