"""Ask and tell: the protocol of every search, and what the searches of this room are made of.

A metaheuristic moves members in the unit cube and knows nothing of trials; the archive makes a
trial of each member's position.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from llmpso.errors import SpecError
from llmpso.space import Floats, Params, Position
from llmpso.trial import Source, Trial

Key = tuple[Any, ...]
"""What equal configurations share, see `SearchSpace.key`."""


class Optimizer(Protocol):
    """Anything that proposes trials and learns from them."""

    def ask(self, limit: int | None = None) -> list[Trial]:
        """Propose the next batch, at most `limit` trials; empty once the space is exhausted."""
        ...

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from results, in any order.

        Args:
            trials: What the last `ask` proposed; searches that may be asked while trials are
                under way take some of these.
        """
        ...


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a surrogate expects of the next training."""

    gain: float
    """Expected improvement over the best so far, in units of the value."""
    noise: float
    """Standard deviation of what it cannot explain of a value, in units of the value."""


@runtime_checkable
class HasOutlook(Protocol):
    """A search that says what it expects of the trials that it proposed last."""

    @property
    def outlook(self) -> Outlook | None:
        """That of the most promising one; None while nothing can be expected."""
        ...


class Metaheuristic(Protocol):
    """Members that move in the unit cube: a swarm, for example."""

    @property
    def n_members(self) -> int:
        """How many there are."""
        ...

    @property
    def iteration(self) -> int:
        """Updates so far; 0 while the members are at their first positions."""
        ...

    def position(self, member: int) -> Position:
        """Where a member is evaluated next."""
        ...

    def put(self, member: int, position: Position) -> None:
        """Change where a member is evaluated next, and nothing else."""
        ...

    def step_all(self) -> None:
        """One step of every member."""
        ...

    def step(self, member: int) -> None:
        """One step of one member."""
        ...

    def step_to(self, member: int, position: Position) -> None:
        """A step of one member to a position that was chosen for it."""
        ...

    def draw_steps(self, member: int, n_draws: int) -> Floats:
        """Where one step of a member may lead, shape (n_draws, n_dims); no member moves."""
        ...

    def bests(self, member: int) -> Sequence[Position]:
        """The best position of all, and the member's own."""
        ...

    def update(self, members: Sequence[int], evaluated: Floats, values: Floats) -> None:
        """Learn from results.

        Args:
            members: Who was evaluated, each named once.
            evaluated: Where, shape (len(members), n_dims): positions snapped to the space.
            values: Shape (len(members),); inf for a failed trial.
        """
        ...


MakeMetaheuristic = Callable[[int, int, np.random.Generator], Metaheuristic]
"""From the number of members, that of dimensions and a generator to the members."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Where a member's next trial comes from."""

    source: Source
    params: Params | None = None
    """The very configuration, where one was given; else the one at the member's position."""
    note: str = ""


Proposals = dict[int, Proposal]
"""By member, in the order of the trials."""


def generator(seed: int) -> np.random.Generator:
    """The generator of a search.

    Raises:
        SpecError: The seed is negative.
    """
    if seed < 0:
        raise SpecError(f"seed is {seed!r}; it must be 0 or more")
    return np.random.default_rng(seed)
