"""Networks of a user's own as one: their outputs are averaged."""

from collections.abc import Sequence
from typing import Any

from torch import nn


class AveragedModule(nn.Module):
    """Calls all of its members.

    Args:
        members: Take the same inputs, and return tensors of the same shape.
        weights: Of each; they sum to 1.
    """

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.weights = tuple(weights)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The weighted mean of the outputs."""
        pairs = zip(self.members, self.weights, strict=True)
        return sum(member(*inputs, **named) * weight for member, weight in pairs)
