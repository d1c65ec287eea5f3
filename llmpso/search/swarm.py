"""The state of a swarm, and the pure update of its velocities and positions.

Kennedy and Eberhart, Particle Swarm Optimization, 1995. The default coefficients are those of
Clerc and Kennedy, The Particle Swarm: Explosion, Stability, and Convergence, 2002: type 1''
constriction with phi = 4.1 gives inertia 0.7298 and both accelerations 1.496.

Symbols: x position, v velocity, w inertia, c1 cognitive and c2 social acceleration, r1 and r2
uniform random numbers, pbest a particle's own best position, lbest the best of its informants.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from llmpso.errors import SpecError
from llmpso.space import Floats


class Topology(StrEnum):
    """Which particles share their bests."""

    STAR = "star"
    """Every particle knows the best of the whole swarm."""
    RING = "ring"
    """A particle knows the best of itself and its two neighbours."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """How strongly a particle keeps its direction and follows its bests."""

    inertia: float = 0.7298
    cognitive: float = 1.496
    social: float = 1.496
    velocity_limit: float = 0.5
    """Largest velocity per dimension, as a fraction of the range."""

    def __post_init__(self) -> None:
        """Refuse coefficients without meaning."""
        for name in ("inertia", "cognitive", "social"):
            if not 0 <= getattr(self, name) <= 4:
                raise SpecError(f"{name} is {getattr(self, name)!r}; it must be in [0, 4]")
        if not 0 < self.velocity_limit <= 1:
            raise SpecError(f"velocity_limit is {self.velocity_limit!r}; it must be in (0, 1]")


@dataclass(frozen=True, slots=True)
class LinearInertia:
    """Inertia that falls from `start` to `end` over `iterations`, then stays."""

    start: float = 0.9
    end: float = 0.4
    iterations: int = 10

    def __post_init__(self) -> None:
        """Refuse a schedule of no length."""
        if self.iterations < 1:
            raise SpecError(f"iterations is {self.iterations!r}; it must be at least 1")

    def at(self, iteration: int) -> float:
        """The inertia of one iteration."""
        share = min(iteration / self.iterations, 1.0)
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Swarm:
    """All that the next move depends on, apart from the random numbers."""

    positions: Floats  # (n_particles, n_dims), unit cube
    velocities: Floats  # (n_particles, n_dims), unit cube per iteration
    values: Floats  # (n_particles,), the last ones; inf before the first and after a failure
    pbest_positions: Floats  # (n_particles, n_dims), as evaluated
    pbest_values: Floats  # (n_particles,), inf while a particle has none
    iteration: int = 0

    @property
    def n_particles(self) -> int:
        """Number of particles."""
        return len(self.positions)

    @property
    def gbest_index(self) -> int | None:
        """The particle that holds the best position so far; None before any value."""
        index = int(np.argmin(self.pbest_values))
        return index if np.isfinite(self.pbest_values[index]) else None

    @property
    def gbest_value(self) -> float:
        """The best value so far; infinite before any."""
        return float(self.pbest_values.min())

    def placed(self, indices: list[int], positions: Floats, velocities: Floats) -> Self:
        """The swarm with some particles put elsewhere; their bests stay."""
        new_positions, new_velocities = self.positions.copy(), self.velocities.copy()
        new_positions[indices], new_velocities[indices] = positions, velocities
        return replace(self, positions=new_positions, velocities=new_velocities)

    def updated(self, indices: Sequence[int], evaluated: Floats, values: Floats) -> Self:
        """The swarm after some particles were evaluated.

        Args:
            indices: Particles that were evaluated, each named once.
            evaluated: Where, shape (len(indices), n_dims): a position after snapping to the space.
            values: What was measured, shape (len(indices),); inf for a failed trial, which
                never updates a best.
        """
        current, pbest = self.values.copy(), self.pbest_values.copy()
        pbest_positions = self.pbest_positions.copy()
        particles = np.asarray(indices)
        current[particles] = values
        is_better = values < pbest[particles]
        pbest[particles[is_better]] = values[is_better]
        pbest_positions[particles[is_better]] = evaluated[is_better]
        return replace(
            self,
            values=current,
            pbest_values=pbest,
            pbest_positions=pbest_positions,
            iteration=self.iteration + 1,
        )

    def following(self, positions: Floats, values: Floats) -> Self:
        """The swarm with other bests, in its next iteration.

        Args:
            positions: Shape (n_particles, n_dims).
            values: Shape (n_particles,); inf for a particle without a best.
        """
        return replace(
            self,
            pbest_positions=positions,
            pbest_values=values,
            iteration=self.iteration + 1,
        )


def initial_swarm(
    n_particles: int, n_dims: int, coefficients: Coefficients, rng: np.random.Generator
) -> Swarm:
    """A Latin hypercube of positions; each velocity is half the way to a random point.

    The velocities are the "half-diff" start of SPSO 2006 (Clerc), within the limit.
    """
    shape = (n_particles, n_dims)
    positions = latin_hypercube(n_particles, n_dims, rng)
    velocities = 0.5 * (rng.random(shape) - positions)
    limit = coefficients.velocity_limit
    unknown = np.full(n_particles, np.inf)
    return Swarm(positions, velocities.clip(-limit, limit), unknown, positions, unknown)


def best_informants(topology: Topology, pbest_values: Floats) -> NDArray[np.intp]:
    """The particle whose best each particle follows, the first of equals.

    Returns:
        Shape (n_particles,), or (1,) where all follow the same one.
    """
    if topology is Topology.STAR:
        return np.array([pbest_values.argmin()])
    every = np.arange(len(pbest_values))
    informants = np.sort([np.roll(every, 1), every, np.roll(every, -1)], axis=0)
    best: NDArray[np.intp] = informants[pbest_values[informants].argmin(axis=0), every]
    return best


def move(
    swarm: Swarm, coefficients: Coefficients, topology: Topology, rng: np.random.Generator
) -> Swarm:
    """Every particle takes one step: v ← w·v + c1·r1·(pbest − x) + c2·r2·(lbest − x); x ← x + v.

    A best that does not exist yet has no pull. Positions are reflected at the walls of the
    unit cube, and the velocity with them.
    """
    positions, velocities = draw_steps(swarm, slice(None), coefficients, topology, rng)
    return replace(swarm, positions=positions, velocities=velocities)


def draw_steps(
    swarm: Swarm,
    particles: NDArray[np.intp] | slice,
    coefficients: Coefficients,
    topology: Topology,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Draw one step for each of the particles listed; a particle listed often is drawn often.

    Arrays are written over where they may be: a large swarm's step costs what its memory does.

    Returns:
        Positions and velocities after the step, each of shape (n_drawn, n_dims).
    """
    lbest = best_informants(topology, swarm.pbest_values)
    if topology is not Topology.STAR:
        lbest = lbest[particles]
    positions = swarm.positions[particles]
    velocities = _pull(swarm, particles, positions, coefficients.cognitive, rng)  # c1 r1 (pbest-x)
    velocities += _pull(swarm, lbest, positions, coefficients.social, rng)  # c2 r2 (lbest - x)
    velocities += coefficients.inertia * swarm.velocities[particles]  # w v
    limit = coefficients.velocity_limit
    return _reflected(positions, np.clip(velocities, -limit, limit, out=velocities))


def _pull(
    swarm: Swarm,
    to: NDArray[np.intp] | slice,
    positions: Floats,
    strength: float,
    rng: np.random.Generator,
) -> Floats:
    """Towards the bests of the particles `to`; nothing towards one that does not exist yet."""
    pull: Floats = rng.random(positions.shape)
    pull *= strength
    pull *= swarm.pbest_positions[to] - positions
    if not (known := np.isfinite(swarm.pbest_values[to])).all():
        pull *= known[:, np.newaxis]
    return pull


def _reflected(positions: Floats, velocities: Floats) -> tuple[Floats, Floats]:
    """One step, bounced off the walls; a velocity of at most 1 meets a wall at most once."""
    ahead = positions + velocities
    folded = np.abs(ahead)
    np.minimum(folded, 2 - folded, out=folded)
    np.negative(velocities, where=folded != ahead, out=velocities)
    return folded, velocities


def folded(positions: Floats) -> Floats:
    """Positions reflected at the walls of the unit cube, however far outside they are."""
    inside: Floats = 1 - np.abs(1 - positions % 2)
    return inside


def latin_hypercube(n: int, n_dims: int, rng: np.random.Generator) -> Floats:
    """Places that share no stratum of any dimension, shape (n, n_dims).

    Not `scipy.stats.qmc.LatinHypercube`: it draws other numbers from the same generator, so that
    every recorded study would begin otherwise.
    """
    strata = rng.random((n, n_dims)).argsort(axis=0)
    places: Floats = (strata + rng.random((n, n_dims))) / n
    return places
