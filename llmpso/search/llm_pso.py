"""The paper's method: PSO whose worst particles take the language model's positions.

Hameed et al., Large Language Model Enhanced Particle Swarm Optimization for Hyperparameter
Tuning for Deep Learning Models, 2025 (arXiv 2504.14126), algorithms 1 and 2.
"""

from collections.abc import Sequence

import numpy as np

from llmpso.advisor import Advisor, ParticleView, SwarmView
from llmpso.advisor.earlier_studies import StudyView
from llmpso.errors import SpecError
from llmpso.search.archive import Archive
from llmpso.search.initial import checked_start, next_positions
from llmpso.search.optimizer import Proposal, Proposals, generator
from llmpso.search.pso import Particles
from llmpso.search.swarm import LinearInertia, Topology
from llmpso.space import Params, SearchSpace
from llmpso.trial import Source, Trial


class LLMPSO:
    """Standard PSO for some iterations; then each iteration the worst particles take advice.

    The model sees all positions, velocities and last values, and answers with positions and
    velocities. The paper replaces "the worst by the best suggestions" without saying how a
    suggestion is known to be good before it is evaluated: the model is asked to put the best
    first. Without usable advice a particle takes its own step, and its trial says why. A velocity
    beyond the swarm's limit is limited, and the trial says so.

    Args:
        space: What may be tried.
        advisor: Asks the language model.
        n_particles: Size of the swarm.
        warm_up: Iterations of plain PSO before the first question; the first is the start.
        n_replaced: Particles that take advice in each later iteration.
        schedule: Inertia by iteration, in place of the constant one.
        topology: Which particles share their bests.
        seed: The only source of randomness beside the model.
        start: Known configurations; they take the first particles' first positions.
        earlier: Earlier studies, of which the model reads.

    Attributes:
        particles: The swarm that moves.

    Raises:
        SpecError: An option is out of range, or `start` holds more than `n_particles`.
        SpaceError: A start configuration is outside the space, or occurs twice.
    """

    def __init__(
        self,
        space: SearchSpace,
        advisor: Advisor,
        *,
        n_particles: int = 6,
        warm_up: int = 2,
        n_replaced: int = 2,
        schedule: LinearInertia | None = None,
        topology: Topology | str = Topology.STAR,
        seed: int = 0,
        start: Sequence[Params] = (),
        earlier: Sequence[StudyView] = (),
    ) -> None:
        self._space = space
        self._start = checked_start(space, start, n_particles)
        if warm_up < 1:
            raise SpecError(f"warm_up is {warm_up!r}; it must be at least 1")
        if not 1 <= n_replaced < n_particles:
            raise SpecError(
                f"replaced is {n_replaced!r} of {n_particles} particles; it must be less, and at "
                "least 1"
            )
        rng = generator(seed)
        self.particles = Particles(
            n_particles, len(space), rng, schedule=schedule, topology=topology
        )
        self._archive = Archive(space, rng, seed=seed)
        self._advisor, self._earlier = advisor, earlier
        self._warm_up = warm_up
        self._n_replaced = n_replaced

    def ask(self, limit: int | None = None) -> list[Trial]:
        """Move all particles, some by advice, and propose one trial for each, at most `limit`."""
        return self._archive.ask(self.particles, self._proposals, limit)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from the results of the batch that the last `ask` proposed, in any order."""
        self._archive.tell(self.particles, trials)

    def _proposals(self) -> Proposals:
        if self.particles.iteration < self._warm_up:
            return next_positions(self.particles, self._space, self._start)
        # The model sees the swarm as it was evaluated, not as it moves on.
        evaluated, worst = self._view(), self._worst()
        moved = next_positions(self.particles, self._space, self._start)
        return moved | self._advised(evaluated, worst)

    def _advised(self, evaluated: SwarmView, worst: Sequence[int]) -> Proposals:
        """The model's suggestions for the worst particles, or why one has none."""
        advice = self._advisor.advise(
            self._space,
            evaluated,
            self._n_replaced,
            iteration=self.particles.iteration,
            velocity_limit=self.particles.coefficients.velocity_limit,
            is_known=self._archive.is_known,
            earlier=self._earlier,
        )
        proposals = dict.fromkeys(worst, Proposal(Source.SWARM, note=advice.problem))
        for particle, suggestion in zip(worst, advice.suggestions, strict=False):
            unused = self.particles.position(particle)
            position = self._space.encode(suggestion.position, unused)
            velocity = self._space.encode_velocity(suggestion.velocity)
            self.particles.swarm = self.particles.swarm.placed([particle], position, velocity)
            proposals[particle] = Proposal(Source.ADVISOR, suggestion.position, suggestion.note)
        return proposals

    def _worst(self) -> list[int]:
        """The particles with the highest last values, worst first; failed ones before all."""
        order = np.argsort(-self.particles.swarm.values, kind="stable")
        return [int(particle) for particle in order[: self._n_replaced]]

    def _view(self) -> SwarmView:
        """The swarm as it was last evaluated, in the user's units."""
        space, swarm = self._space, self.particles.swarm
        particles = tuple(
            ParticleView(space.decode(position), space.decode_velocity(velocity), value)
            for position, velocity, value in zip(
                swarm.positions, swarm.velocities, swarm.values.tolist(), strict=True
            )
        )
        if (best := swarm.gbest_index) is None:
            return SwarmView(particles, None)
        best_params = space.decode(swarm.pbest_positions[best])
        return SwarmView(particles, ParticleView(best_params, {}, swarm.gbest_value))
