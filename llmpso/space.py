"""Search spaces: what may be tried, in the user's units, and its image in the unit cube."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpso.dimensions import Categorical, Dimension, Float, Integer, identity, values
from llmpso.errors import SpaceError
from llmpso.text import did_you_mean, is_storable

__all__ = [
    "Categorical",
    "Dimension",
    "Float",
    "Floats",
    "Integer",
    "Params",
    "Position",
    "SearchSpace",
]

Floats = NDArray[np.float64]
"""Any array of real numbers; its shape is given where it is used."""

Params = Mapping[str, Any]
"""One configuration in the user's units, by hyperparameter name."""

Position = Floats
"""A point of the unit cube, shape (n_dims,); the same shape serves for velocities."""


class SearchSpace(Mapping[str, Dimension]):
    """Named hyperparameters, and the map between their values and the unit cube.

    Example:
        >>> space = SearchSpace({"layers": Integer(1, 3), "dropout": Float(0.0, 0.5)})
        >>> space.decode(space.encode({"layers": 2, "dropout": 0.25}))
        {'layers': 2, 'dropout': 0.25}
    """

    def __init__(self, dimensions: Mapping[str, Dimension]) -> None:
        if not isinstance(dimensions, Mapping):
            raise SpaceError(
                f"SearchSpace is given a {type(dimensions).__name__}; it must be a dict of "
                "hyperparameters by name"
            )
        if not dimensions:
            raise SpaceError("SearchSpace({}): at least one hyperparameter is needed")
        for name, dimension in dimensions.items():
            if not isinstance(name, str) or not name:
                raise SpaceError(f"SearchSpace: name {name!r} must be a non-empty string")
            if not is_storable(name):
                raise SpaceError(
                    f"SearchSpace: name {name!r} holds NUL or half a character, which no database "
                    "takes"
                )
            if not isinstance(dimension, Float | Integer | Categorical):
                raise SpaceError(
                    f"{name} is {dimension!r}; it must be a Float, an Integer or a Categorical"
                )
        self._dimensions = dict(dimensions)

    def __getitem__(self, name: str) -> Dimension:
        return self._dimensions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __repr__(self) -> str:
        return f"SearchSpace({self._dimensions!r})"

    @property
    def size(self) -> float:
        """Number of distinct configurations; infinite with any `Float`."""
        return math.prod(dimension.size for dimension in self.values())

    def validate(self, params: Params) -> dict[str, Any]:
        """The same configuration in the order and the plain types of the space.

        Raises:
            SpaceError: A name is unknown or missing, or a value is not allowed; the message
                names all that is wrong.
        """
        problems = [self.unknown(name) for name in params if name not in self]
        valid: dict[str, Any] = {}
        for name, dimension in self.items():
            if name not in params:
                problems.append(f"{name} is missing")
                continue
            try:
                valid[name] = dimension.validate(params[name])
            except SpaceError as error:
                problems.append(f"{name} is {params[name]!r}; it {error}")
        if problems:
            raise SpaceError("; ".join(problems))
        return valid

    def unknown(self, name: str) -> str:
        """What to say of a name that is not the space's."""
        return f"unknown hyperparameter {name!r} ({did_you_mean(str(name), self)})"

    def key(self, params: Params) -> tuple[Any, ...]:
        """What two equal configurations share; hashable."""
        return tuple(identity(params[name]) for name in self)

    def encode(self, params: Params) -> Position:
        """The place of a valid configuration in the unit cube, shape (n_dims,)."""
        return np.array([dim.encode(params[name]) for name, dim in self.items()])

    def decode(self, position: Position) -> dict[str, Any]:
        """The configuration at a place in the unit cube."""
        coordinates = np.clip(position, 0.0, 1.0).tolist()
        return {
            name: dimension.decode(u)
            for (name, dimension), u in zip(self.items(), coordinates, strict=True)
        }

    def encode_velocity(self, velocities: Mapping[str, float]) -> Position:
        """Moves per iteration in percent of the range as a velocity, shape (n_dims,)."""
        return np.array([velocities[name] / 100 for name in self])

    def decode_velocity(self, velocity: Position) -> dict[str, float]:
        """A velocity in the unit cube as moves per iteration in percent of the range, by name.

        On a log scale the range is that of the logarithm.
        """
        return dict(zip(self, (100 * velocity).tolist(), strict=True))

    def configurations(self) -> Iterator[dict[str, Any]]:
        """Every configuration of a finite space."""
        if not math.isfinite(self.size):
            raise SpaceError("a space with a Float has no end; it cannot be listed")
        for chosen in itertools.product(*map(values, self.values())):
            yield dict(zip(self, chosen, strict=True))
