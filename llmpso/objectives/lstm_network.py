"""An LSTM with a linear path beside it, whose forecasts are combined with those of ridge.

LSTM: Hochreiter and Schmidhuber 1997; forget-gate bias of 1: Gers et al. 2000; dropout of inputs
and states, one mask for all time steps: Gal and Ghahramani 2016; linear path: Lai et al. 2018;
weights of a combination: Bates and Granger 1969.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BATCH = 1024
"""Windows per forward pass outside training; bounds memory."""
HEAD_GAIN = 0.1
"""Small, so that the first steps are not spent on undoing a random forecast."""

PRIOR_WINDOWS = 800
"""Validation windows with which the LSTM's squared error counts double against that of ridge, and
more with fewer: it is the lowest of many epochs and trainings, and the fewer windows, the less of
it new data confirm. Taken from other parts and targets than those of the reported figures."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of an `LSTMNetwork`."""

    n_inputs: int
    layers: int
    hidden_units: int | Sequence[int]
    """Of all layers, or of each."""
    dropout: float
    window: int
    """Rows that ridge regression may look back."""

    @property
    def widths(self) -> list[int]:
        """Units of each layer."""
        if isinstance(self.hidden_units, int):
            return [self.hidden_units] * self.layers
        return list(self.hidden_units)


class LSTMNetwork(nn.Module):
    """Stacked LSTM layers whose last state goes into a linear head, and a linear path beside.

    The linear path sees the last row alone; where data is scarce, that is hard to beat, and the
    LSTM only has to learn what it leaves. Ridge regression over the whole window is fitted apart,
    and does not take part in training: two models that were fitted apart make different errors,
    which their mean evens out. In training mode the answer is that of the LSTM and its path, in
    evaluation mode the weighted mean. Outputs are in standard deviations of the target.
    """

    ridge_weights: Tensor
    ridge_intercept: Tensor
    share: Tensor
    """Of the LSTM and its path in the mean, in [0, 1]."""

    def __init__(self, architecture: Architecture) -> None:
        """Leave the weights undefined: call `initialise`, or load them."""
        super().__init__()
        self.architecture = architecture
        n_inputs, widths = architecture.n_inputs, architecture.widths
        # By way of "meta", because a constructor draws from torch's global generator.
        self.recurrent = nn.ModuleList(
            nn.LSTM(n_below, units, device="meta").to_empty(device="cpu")
            for n_below, units in zip([n_inputs, *widths], widths, strict=False)
        )
        self.head = nn.Linear(widths[-1], 1, device="meta").to_empty(device="cpu")
        self.linear = nn.Linear(n_inputs, 1, device="meta").to_empty(device="cpu")
        self.register_buffer("ridge_weights", torch.zeros(architecture.window, n_inputs))
        self.register_buffer("ridge_intercept", torch.zeros(()))
        self.register_buffer("share", torch.ones(()))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights; the untrained network answers little else than the mean.

        Args:
            generator: On the CPU, so that weights are the same on every device.
        """
        for layer in self.recurrent:
            for name, parameter in layer.named_parameters():
                _initialise_gates(name, parameter, generator)
        nn.init.xavier_uniform_(self.head.weight, gain=HEAD_GAIN, generator=generator)
        for zero in (self.head.bias, self.linear.weight, self.linear.bias):
            zero.zero_()

    def set_ridge(self, weights: Tensor, intercept: float) -> None:
        """Take over a fitted ridge regression.

        Args:
            weights: Shape (n_lags, n_inputs), oldest row first, with no more lags than the window.
            intercept: Like the answers, in standard deviations of the target.
        """
        self.ridge_weights.zero_()[-len(weights) :] = weights
        self.ridge_intercept.fill_(intercept)

    def forward(self, windows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Forecasts in standard deviations from the target's mean, shape (n_windows,).

        Args:
            windows: Scaled inputs, shape (window, n_windows, n_inputs).
            generator: Source of the dropout masks, on the device of the windows; no dropout
                without it.
        """
        share, hidden = self.architecture.dropout, windows
        for layer in self.recurrent:
            hidden = layer(_drop(hidden, share, generator))[0]
        recurrent: Tensor = self.head(_drop(hidden[-1:], share, generator)[0])
        linear: Tensor = self.linear(windows[-1])
        own = (recurrent + linear).squeeze(-1)
        if self.training:
            return own
        return torch.lerp(self._ridge(windows), own, self.share)

    def _ridge(self, windows: Tensor) -> Tensor:
        return torch.einsum("twi,ti->w", windows, self.ridge_weights) + self.ridge_intercept


def gather(inputs: Tensor, ends: Tensor, window: int) -> Tensor:
    """The windows that end at some rows, shape (window, n_windows, n_inputs).

    Args:
        inputs: Scaled inputs, shape (n_rows, n_inputs).
        ends: Last row of each window, shape (n_windows,).
        window: Rows per window.
    """
    offsets = torch.arange(1 - window, 1, device=ends.device)
    return inputs[offsets[:, None] + ends]


def forecast(network: LSTMNetwork, inputs: Tensor, ends: Tensor, window: int) -> Tensor:
    """Forecasts of many windows without dropout, shape (n_windows,); arguments as `gather`."""
    return torch.cat([network(gather(inputs, some, window)) for some in _chunks(ends)])


def share_of_lstm(error: float, ridge_error: float, n_windows: int) -> float:
    """Weight of the LSTM in its mean with ridge, inverse to their mean squared errors.

    Args:
        error: Root mean squared validation error of the LSTM.
        ridge_error: That of ridge.
        n_windows: Number of validation windows.
    """
    if ridge_error == 0:
        return 0.0
    optimism = 1 + PRIOR_WINDOWS / n_windows
    return 1 / (1 + optimism * (error / ridge_error) ** 2)


def _initialise_gates(name: str, parameter: Tensor, generator: torch.Generator) -> None:
    """Orthogonal recurrent weights, Xavier input weights, forget-gate bias 1, gate by gate."""
    if name.startswith("bias"):
        parameter.zero_()
        if name.startswith("bias_ih"):
            # torch's order of gates: input, forget, cell, output.
            parameter.chunk(4)[1].fill_(1.0)
        return
    for gate in parameter.chunk(4):
        if name.startswith("weight_hh"):
            nn.init.orthogonal_(gate, generator=generator)
        else:
            nn.init.xavier_uniform_(gate, generator=generator)


def _drop(hidden: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Silence a share of the units, the same ones at each time step, and scale up the others.

    Args:
        hidden: Shape (n_steps, n_windows, n_units).
        share: In [0, 1).
        generator: Source of the mask; nothing is silenced without it.
    """
    if generator is None or share == 0:
        return hidden
    mask = torch.empty_like(hidden[0]).bernoulli_(1 - share, generator=generator)
    return hidden * mask.div_(1 - share)


def _chunks(ends: Tensor) -> Iterator[Tensor]:
    return (ends[start : start + BATCH] for start in range(0, len(ends), BATCH))
