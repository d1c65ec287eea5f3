"""In how many hyperparameters a network is tuned: from the paper's two to all that it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmpso.errors import SpecError
from llmpso.space import Params, SearchSpace

SPACE_NAMES = ("paper", "standard", "wide")
"""Layers and width; learning rate and dropout besides; all."""


@dataclass(frozen=True)
class Tunables:
    """The hyperparameters of a network, and what each is where it is not searched."""

    spaces: Mapping[str, SearchSpace]
    """By the names in `SPACE_NAMES`."""
    fixed: Params
    """Values of all that a space may leave out."""

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
        known = set(self.spaces["wide"])
        needed = known - set(self.fixed)
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
