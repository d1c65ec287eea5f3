"""Search spaces: what may be tried, in the user's units, and its image in the unit cube."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from llmpso.errors import SpaceError
from llmpso.space.conditions import Conditions
from llmpso.space.constraints import Constraint, to_constraint
from llmpso.space.dimension_checks import clipped
from llmpso.space.dimensions import (
    Categorical,
    Dimension,
    Float,
    Integer,
    identity,
    values,
)
from llmpso.text import did_you_mean, is_storable

Floats = NDArray[np.float64]
"""Any array of real numbers; its shape is given where it is used."""

Params = Mapping[str, Any]
"""One configuration in the user's units, by hyperparameter name."""

Position = Floats
"""A point of the unit cube, shape (n_dims,); the same shape serves for velocities."""


N_AVERAGED = 200
"""Configurations drawn to find the mean size of a conditional one."""

UNUSED = 0.5
"""Coordinate of a hyperparameter that does not count, unless it is unordered."""


class SearchSpace(Mapping[str, Dimension]):
    """Named hyperparameters, and the map between their values and the unit cube.

    A configuration has a value for each hyperparameter that counts in it, and no other.

    Args:
        dimensions: The hyperparameters by name.
        constraints: What a configuration must satisfy to be trained: expressions such as
            `"units * layers <= 512"`, or functions of the configuration. An expression is applied
            where all that it names counts.

    Attributes:
        conditions: Which hyperparameters count when.
        constraints: What a configuration must satisfy.

    Raises:
        SpaceError: Something cannot be used.

    Example:
        >>> space = SearchSpace({"layers": Integer(1, 3), "dropout": Float(0.0, 0.5)})
        >>> space.decode(space.encode({"layers": 2, "dropout": 0.25}))
        {'layers': 2, 'dropout': 0.25}
        >>> space = SearchSpace(
        ...     {
        ...         "optimizer": Categorical(["adam", "sgd"]),
        ...         "momentum": Float(0.0, 0.99, when={"optimizer": "sgd"}),
        ...     }
        ... )
        >>> space.validate({"optimizer": "adam"})
        {'optimizer': 'adam'}
    """

    def __init__(
        self,
        dimensions: Mapping[str, Dimension],
        constraints: Sequence[str | Constraint | Callable[[Params], bool]] = (),
    ) -> None:
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
                    f"{name} is {dimension!r}; it must be a Float, an Integer, a Categorical, an "
                    "Ordinal or a Fixed"
                )
        self._dimensions = dict(dimensions)
        self.conditions = Conditions(self._dimensions)
        if isinstance(constraints, str) or not isinstance(constraints, Sequence):
            raise SpaceError(f"constraints is {clipped(constraints)}; it must be a list")
        self.constraints = tuple(to_constraint(asked, self) for asked in constraints)
        self._unused = np.array(
            [
                # Like none of the choices, which lie in the middle of their shares.
                0.0 if isinstance(dim, Categorical) and not dim.ordered else UNUSED
                for dim in self.values()
            ]
        )

    def __getitem__(self, name: str) -> Dimension:
        return self._dimensions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __repr__(self) -> str:
        limits = f", {[one.text for one in self.constraints]}" if self.constraints else ""
        return f"SearchSpace({self._dimensions!r}{limits})"

    @classmethod
    def of_user(cls, given: object, constraint: str | Callable[[Params], bool] | None) -> Self:
        """The space that a user gave, with a further constraint if there is one.

        Raises:
            SpaceError: It is no `SearchSpace`, or the constraint cannot be used.
        """
        if not isinstance(given, cls):
            kind = type(given).__name__
            raise SpaceError(
                f"space is of type {kind}; it must be a SearchSpace, such as "
                'SearchSpace({"rate": Float(0.001, 0.1)})'
            )
        return given if constraint is None else given.with_constraints(constraint)

    def with_constraints(self, *more: str | Constraint | Callable[[Params], bool]) -> Self:
        """The same space with further constraints."""
        return type(self)(self._dimensions, (*self.constraints, *more))

    def violated(self, params: Params) -> str:
        """The constraints that a valid configuration violates; empty if it may be trained."""
        return " and ".join(one.text for one in self.constraints if not one.holds(params))

    @property
    def size(self) -> float:
        """Number of distinct configurations; infinite with any `Float`.

        Those that violate a constraint are counted, too.
        """
        sizes = [dimension.size for dimension in self.values()]
        if math.inf in sizes:
            return math.inf
        return self._n_configurations if self.conditions else math.prod(sizes)

    @cached_property
    def _n_configurations(self) -> float:
        return self.conditions.n_configurations()

    @cached_property
    def n_used(self) -> float:
        """How many hyperparameters count in a configuration, on average over the unit cube."""
        if not self.conditions:
            return len(self)
        places = np.random.default_rng(0).random((N_AVERAGED, len(self)))
        return sum(len(self.decode(place)) for place in places) / N_AVERAGED

    def validate(self, params: Params) -> dict[str, Any]:
        """The same configuration in the order and the plain types of the space.

        Raises:
            SpaceError: A name is unknown, missing, or does not count in this configuration, or a
                value is not allowed; the message names all that is wrong.
        """
        problems = [self.unknown(name) for name in params if name not in self]
        valid: dict[str, Any] = {}
        wrong: dict[str, str] = {}
        for name, dimension in self.items():
            if name not in params:
                continue
            try:
                valid[name] = dimension.validate(params[name])
            except SpaceError as error:
                wrong[name] = f"{name} is {params[name]!r}; it {error}"
        needed = self.conditions.needed(valid) if self.conditions else set(self)
        for name in self:
            if name in wrong:
                problems.append(wrong[name])
            elif name in needed and name not in params:
                problems.append(f"{name} is missing")
            elif name in valid and name not in needed and not wrong:
                problems.append(f"{name} {self._why_unused(name)}; leave it out")
        if problems:
            raise SpaceError("; ".join(problems))
        return valid

    def is_valid(self, params: Params) -> bool:
        """Whether a configuration is inside the space: those of other tools need not be."""
        try:
            self.validate(params)
        except SpaceError:
            return False
        return True

    def without_unused(self, params: Params) -> tuple[dict[str, Any], str]:
        """A configuration without hyperparameters that do not count in it, and what was left out.

        Returns:
            The rest, and a sentence for people, which is empty if nothing was left out. What is
            wrong with the configuration otherwise is still wrong with the rest.
        """
        with suppress(SpaceError):
            valid = {n: self[n].validate(value) for n, value in params.items() if n in self}
            unused = set(valid) - self.conditions.needed(valid) if self.conditions else set()
            left_out = [
                f"{n} {self._why_unused(n)}, so it is left out" for n in self if n in unused
            ]
            note = "; ".join(left_out)
            return {n: value for n, value in params.items() if n not in unused}, note
        return dict(params), ""

    def _why_unused(self, name: str) -> str:
        return f"counts only if {self.conditions.text(name)}"

    def unknown(self, name: str) -> str:
        """What to say of a name that is not the space's."""
        return f"unknown hyperparameter {name!r} ({did_you_mean(str(name), self)})"

    def key(self, params: Params) -> tuple[Any, ...]:
        """What two equal configurations share; hashable."""
        if self.conditions:
            return tuple(identity(params[name]) if name in params else None for name in self)
        return tuple(identity(params[name]) for name in self)

    def encode(self, params: Params, unused: Position | None = None) -> Position:
        """The place of a valid configuration in the unit cube, shape (n_dims,).

        Args:
            params: The configuration.
            unused: Coordinates of hyperparameters that do not count in it, shape (n_dims,). By
                default always the same, so that equal configurations have the same place.
        """
        if not self.conditions:
            return np.array([dim.encode(params[name]) for name, dim in self.items()])
        position = (self._unused if unused is None else unused).copy()
        for index, (name, dimension) in enumerate(self.items()):
            if name in params:
                position[index] = dimension.encode(params[name])
        return position

    def decode(self, position: Position) -> dict[str, Any]:
        """The configuration at a place in the unit cube."""
        coordinates = np.clip(position, 0.0, 1.0).tolist()
        decoded = {
            name: dimension.decode(u)
            for (name, dimension), u in zip(self.items(), coordinates, strict=True)
        }
        if not self.conditions:
            return decoded
        active = self.conditions.active(decoded)
        return {name: value for name, value in decoded.items() if name in active}

    def is_used(self, params: Params) -> NDArray[np.bool_]:
        """Which hyperparameters count in a valid configuration, shape (n_dims,)."""
        return np.array([name in params for name in self])

    def encode_velocity(self, velocities: Mapping[str, float]) -> Position:
        """Moves per iteration in percent of the range as a velocity, shape (n_dims,).

        A hyperparameter without one does not move.
        """
        return np.array([velocities.get(name, 0.0) / 100 for name in self])

    def decode_velocity(self, velocity: Position) -> dict[str, float]:
        """A velocity in the unit cube as moves per iteration in percent of the range, by name.

        On a log scale the range is that of the logarithm.
        """
        return dict(zip(self, (100 * velocity).tolist(), strict=True))

    def configurations(self) -> Iterator[dict[str, Any]]:
        """Every configuration of a finite space, also those that violate a constraint."""
        if self.size == math.inf:
            raise SpaceError("a space with a Float has no end; it cannot be listed")
        if self.conditions:
            yield from self.conditions.configurations()
            return
        for chosen in itertools.product(*map(values, self.values())):
            yield dict(zip(self, chosen, strict=True))
