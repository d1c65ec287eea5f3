"""In how many hyperparameters a network is tuned: from the paper's two to all that it has."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from llmpso.errors import SpecError
from llmpso.options import SpaceName
from llmpso.space import Dimension, Integer, Params, SearchSpace

SPACE_NAMES: tuple[str, ...] = get_args(SpaceName)
"""Layers and width; learning rate and dropout besides; all; `standard` with a width per layer."""


@dataclass(frozen=True)
class Tunables:
    """The hyperparameters of a network, and what each is where it is not searched."""

    spaces: Mapping[str, SearchSpace]
    """By the names in `SPACE_NAMES`."""
    fixed: Params
    """Values of all that a space may leave out."""
    width: str
    """Name of the width of all layers; `_1`, `_2`, … is added to it for that of each."""

    def named(self, name: str) -> SearchSpace:
        """One of the spaces.

        Raises:
            SpecError: There is none of that name.
        """
        if name not in self.spaces:
            raise SpecError(f"space is {name!r}; it must be one of: {', '.join(self.spaces)}")
        return self.spaces[name]

    def check(self, space: SearchSpace) -> None:
        """Raise `SpecError` unless a space leaves out only what has a fixed value."""
        has_layers = f"{self.width}_1" in space
        needed = set(self.spaces["layers" if has_layers else "paper"]) - set(self.fixed)
        known = needed | set(self.fixed)
        if not needed <= set(space) <= known:
            raise SpecError(
                f"space names {sorted(space)}; it must name {sorted(needed)}, and may name "
                f"{sorted(self.fixed)}"
            )

    def complete(self, space: SearchSpace, params: Params) -> dict[str, Any]:
        """A valid configuration of a space, with the fixed values of what it leaves out.

        Raises:
            SpaceError: The configuration is not valid.
        """
        return dict(self.fixed) | space.validate(params)

    def widths(self, chosen: Params) -> int | tuple[int, ...]:
        """The width of all layers, or of each, in a complete configuration."""
        if self.width in chosen:
            return int(chosen[self.width])
        return tuple(chosen[f"{self.width}_{n}"] for n in range(1, chosen["layers"] + 1))


def per_layer(width: str, dimension: Integer, most: int) -> dict[str, Dimension]:
    """The width of each layer as a hyperparameter of its own, which counts if there is the layer.

    Args:
        width: Name of the width.
        dimension: What it may be.
        most: The largest number of layers.
    """
    whens = [{}, *({"layers": f">= {n}"} for n in range(2, most + 1))]
    return {f"{width}_{n}": replace(dimension, when=when) for n, when in enumerate(whens, start=1)}
