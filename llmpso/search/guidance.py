"""How much of a search is left to surrogate and proposer."""

from dataclasses import dataclass

from llmpso.errors import SpecError


@dataclass(frozen=True, slots=True)
class Guidance:
    """How surrogate and proposer guide a search."""

    batch_size: int = 1
    """Particles that move per step. Small batches save evaluations, large ones wall time."""
    n_moves: int = 50
    """Draws of the metaheuristic's own step."""
    n_changes: int = 25
    """Draws of a change of the best configuration, and as many of a particle's own best."""
    n_explored: int = 25
    """Draws from the whole space, but for wide ones (`llmpso.search.slots.EXPLORED_DIMS`)."""
    n_defaults: int = 1
    """First positions that the proposer may fill."""
    n_refinements: int = 0
    """Configurations that the proposer is asked for at once during the search; 0 asks for none,
    the only setting that was measured with a real model."""
    asks_likely: bool = False
    """Whether the proposer is asked where it expects the best, as a trend for the surrogate."""
    patience: int = 5
    """Completed trials between two questions for refinements."""

    def __post_init__(self) -> None:
        """Refuse a pool or a batch of nothing."""
        for name in ("batch_size", "n_moves", "n_changes", "patience"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} is {getattr(self, name)!r}; it must be at least 1")
        for name in ("n_explored", "n_defaults", "n_refinements"):
            if getattr(self, name) < 0:
                raise SpecError(f"{name} is {getattr(self, name)!r}; it must be 0 or more")


GUIDED = Guidance()
"""How a search is guided unless told otherwise."""
