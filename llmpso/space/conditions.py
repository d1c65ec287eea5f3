"""Conditions of a search space: which hyperparameters count in a configuration.

A hyperparameter with a condition counts (is active) only where each of the hyperparameters that
it depends on, its parents, is active and has one of the values that the condition allows.
"""

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmpso.errors import SpaceError
from llmpso.space.dimension_checks import clipped, is_real
from llmpso.space.dimensions import Categorical, Dimension, Float, identity, values
from llmpso.text import did_you_mean

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}

_COMPARISON = re.compile(r"\s*(>=|<=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """What one parent must be."""

    parent: str
    allowed: tuple[Any, ...]
    """The values that it may have; of a comparison its bound."""
    comparison: str = ""
    """One of `COMPARISONS`; empty where values are listed."""

    def holds(self, value: object) -> bool:
        """Whether it is met by a value of the parent."""
        if self.comparison:
            return COMPARISONS[self.comparison](value, self.allowed[0])
        return any(identity(value) == identity(one) for one in self.allowed)

    def __str__(self) -> str:
        if self.comparison:
            return f"{self.parent} {self.comparison} {self.allowed[0]:g}"
        return f"{self.parent} is {' or '.join(map(repr, self.allowed))}"


class Conditions:
    """All conditions of a search space.

    Args:
        dimensions: The hyperparameters by name.

    Raises:
        SpaceError: A parent does not exist or can never be what a condition asks for, or the
            conditions form a cycle.
    """

    def __init__(self, dimensions: Mapping[str, Dimension]) -> None:
        self._dimensions = dimensions
        self.of: dict[str, tuple[Condition, ...]] = {
            name: tuple(
                _condition(name, parent, asked, dimensions)
                for parent, asked in dimension.when.items()
            )
            for name, dimension in dimensions.items()
            if dimension.when
        }
        """By the names of the conditional hyperparameters."""
        self.order = self._parents_first()
        """All names, parents before their children, and children soon after their parents."""

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.of)

    def text(self, name: str) -> str:
        """The condition of a hyperparameter in words; empty if it has none."""
        return " and ".join(map(str, self.of.get(name, ())))

    def active(self, params: Mapping[str, Any]) -> set[str]:
        """The names that count in a configuration, which may have values for others, too."""
        found: dict[str, Any] = {}
        for name in self.order:
            if name in params and self.counts(name, found):
                found[name] = params[name]
        return set(found)

    def needed(self, params: Mapping[str, Any]) -> set[str]:
        """The names that count in a configuration, whether or not it has a value for them.

        Those that depend on a missing one are left out.
        """
        active = {name: params[name] for name in self.active(params)}
        return {name for name in self._dimensions if self.counts(name, active)}

    def n_configurations(self) -> float:
        """Number of distinct configurations of a finite space."""
        return self._size(0, {}, {})

    def configurations(self, first: int = 0, chosen: Mapping[str, Any] = {}) -> Iterator[Any]:  # noqa: B006
        """Every configuration of a finite space that begins with the values chosen."""
        if first == len(self.order):
            yield {name: chosen[name] for name in self._dimensions if name in chosen}
            return
        name = self.order[first]
        if not self.counts(name, chosen):
            yield from self.configurations(first + 1, chosen)
            return
        for value in values(self._dimensions[name]):
            yield from self.configurations(first + 1, {**chosen, name: value})

    def counts(self, name: str, chosen: Mapping[str, Any]) -> bool:
        """Whether a hyperparameter counts, given the values of those before it in the order."""
        return all(
            condition.parent in chosen and condition.holds(chosen[condition.parent])
            for condition in self.of.get(name, ())
        )

    def _parents_first(self) -> list[str]:
        order: dict[str, None] = {}
        for name in (*self.of, *self._dimensions):
            self._visit(name, [], order)
        return list(order)

    def _visit(self, name: str, path: list[str], order: dict[str, None]) -> None:
        if name in path:
            circle = " depends on ".join([*path[path.index(name) :], name])
            raise SpaceError(f"the conditions form a cycle: {circle}")
        if name not in order:
            for condition in self.of.get(name, ()):
                self._visit(condition.parent, [*path, name], order)
            order[name] = None

    def _size(self, first: int, chosen: dict[str, Any], known: dict[Any, float]) -> float:
        """Number of configurations that begin with the values chosen."""
        if first == len(self.order):
            return 1
        name, later = self.order[first], self.order[first:]
        parents = {c.parent for other in later for c in self.of.get(other, ())}
        needed = {parent: chosen[parent] for parent in chosen if parent in parents}
        key = (first, frozenset((parent, identity(value)) for parent, value in needed.items()))
        if key not in known:
            known[key] = self._size_from(name, first, needed, known)
        return known[key]

    def _size_from(
        self, name: str, first: int, chosen: dict[str, Any], known: dict[Any, float]
    ) -> float:
        if not self.counts(name, chosen):
            return self._size(first + 1, chosen, known)
        return sum(
            n_alike * self._size(first + 1, {**chosen, name: value}, known)
            for value, n_alike in self._alternatives(name)
        )

    def _alternatives(self, name: str) -> Iterator[tuple[Any, int]]:
        """Values that the conditions distinguish, each with the number of values like it."""
        asked = [c for own in self.of.values() for c in own if c.parent == name]
        alike: dict[tuple[bool, ...], tuple[Any, int]] = {}
        for value, count in self._runs(name, asked):
            key = tuple(condition.holds(value) for condition in asked)
            first, n_before = alike.get(key, (value, 0))
            alike[key] = first, n_before + count
        yield from alike.values()

    def _runs(self, name: str, asked: Sequence[Condition]) -> Iterator[tuple[Any, int]]:
        """Values of which each stands for itself and those after it, with their number."""
        dimension = self._dimensions[name]
        if isinstance(dimension, Categorical):
            yield from ((choice, 1) for choice in dimension.choices)
            return
        step = dimension.step or 1
        cuts = {0, int(dimension.size)}
        for bound in (value for condition in asked for value in condition.allowed):
            below = int((bound - dimension.low) // step)
            cuts |= {below, below + 1, below + 2}
        edges = sorted(cut for cut in cuts if 0 <= cut <= dimension.size)
        for low, high in zip(edges, edges[1:], strict=False):
            yield dimension.at(low), high - low


def _condition(
    name: str, parent: str, asked: Any, dimensions: Mapping[str, Dimension]
) -> Condition:
    if parent not in dimensions:
        raise SpaceError(
            f"{name} depends on {parent!r}, which is no hyperparameter "
            f"({did_you_mean(parent, dimensions)})"
        )
    dimension = dimensions[parent]
    if _is_value(dimension, asked):
        listed: tuple[Any, ...] = (asked,)
    elif isinstance(asked, str) and (found := _COMPARISON.fullmatch(asked)):
        return _comparison(name, parent, found[1], found[2], dimension)
    else:
        listed = asked if isinstance(asked, tuple) else (asked,)
    if not listed:
        raise SpaceError(f"{name} depends on {parent}, but no value of it is named")
    return Condition(parent, tuple(_value(name, parent, one, dimension) for one in listed))


def _is_value(dimension: Dimension, asked: Any) -> bool:
    try:
        dimension.validate(asked)
    except SpaceError:
        return False
    return True


def _value(name: str, parent: str, asked: Any, dimension: Dimension) -> Any:
    if isinstance(dimension, Float) and dimension.size > 1 and dimension.step is None:
        raise SpaceError(
            f"{name} depends on {parent} = {clipped(asked)}, but a real number is hardly ever "
            "exactly that; compare it, as in '>= 0.5'"
        )
    try:
        return dimension.validate(asked)
    except SpaceError as error:
        raise SpaceError(
            f"{name} depends on {parent} = {clipped(asked)}, which can never be: {parent} {error}"
        ) from None


def _comparison(
    name: str, parent: str, comparison: str, bound: str, dimension: Dimension
) -> Condition:
    try:
        number = float(bound)
    except ValueError:
        number = float("nan")
    places = _extremes(dimension)
    asked = f"{name} depends on {parent} {comparison} {bound}"
    if not math.isfinite(number) or not places:
        raise SpaceError(f"{asked}; a comparison needs a number, and a parent of numbers only")
    if not any(COMPARISONS[comparison](place, number) for place in places):
        least, most = min(places), max(places)
        raise SpaceError(f"{asked}, which can never be: {parent} is from {least:g} to {most:g}")
    return Condition(parent, (number,), comparison)


def _extremes(dimension: Dimension) -> tuple[float, ...]:
    """The least and the greatest value, or all choices; none where they are no numbers."""
    if isinstance(dimension, Categorical):
        return dimension.choices if all(map(is_real, dimension.choices)) else ()
    if isinstance(dimension, Float) and dimension.step is None:
        return dimension.low, dimension.high
    return dimension.decode(0.0), dimension.decode(1.0)
