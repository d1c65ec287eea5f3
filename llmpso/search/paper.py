"""The paper's method: PSO whose worst particles take the language model's positions.

Hameed et al., Large Language Model Enhanced Particle Swarm Optimization for Hyperparameter
Tuning for Deep Learning Models, 2025 (arXiv 2504.14126), algorithms 1 and 2.
"""

from typing import Any

import numpy as np

from llmpso.advisor import Advisor, ParticleView, SwarmView
from llmpso.errors import SpecError
from llmpso.search.population import Proposal
from llmpso.search.pso import PSO
from llmpso.space import SearchSpace
from llmpso.trial import Source


class PaperPSO(PSO):
    """Standard PSO for some iterations; then each iteration the worst particles take advice.

    The model sees all positions, velocities and last values, and answers with positions and
    velocities. The paper replaces "the worst by the best suggestions" without saying how a
    suggestion is known to be good before it is evaluated: the model is asked to put the best
    first. A slot without usable advice keeps the particle's own move, and its trial says why. A
    velocity beyond the swarm's limit is limited, and the trial says so.

    Args:
        space: What may be tried.
        advisor: Who is asked.
        warm_up: Iterations of plain PSO before the first question; the first is the start.
        n_replaced: Particles that take advice in each later iteration.
        **pso: Everything else that `PSO` takes.
    """

    def __init__(
        self,
        space: SearchSpace,
        advisor: Advisor,
        *,
        warm_up: int = 2,
        n_replaced: int = 2,
        **pso: Any,
    ) -> None:
        super().__init__(space, **pso)
        if warm_up < 1:
            raise SpecError(f"warm_up is {warm_up!r}; it must be at least 1")
        if not 1 <= n_replaced < self.swarm.n_particles:
            raise SpecError(
                f"n_replaced is {n_replaced!r}; it must lie in [1, {self.swarm.n_particles - 1}]"
            )
        self.advisor = advisor
        self.warm_up = warm_up
        self.n_replaced = n_replaced

    def _advance(self) -> dict[int, Proposal]:
        if self.swarm.iteration < self.warm_up:
            return super()._advance()
        seen, worst = self._view(), self._worst()
        proposals = super()._advance()
        advice = self.advisor.advise(
            self.space,
            seen,
            self.n_replaced,
            iteration=self.swarm.iteration,
            velocity_limit=self.coefficients.velocity_limit,
            is_known=self._is_known,
        )
        for particle, suggestion in zip(worst, advice.suggestions, strict=False):
            position = self.space.encode(suggestion.position)
            velocity = self.space.encode_velocity(suggestion.velocity)
            self.swarm = self.swarm.placed([particle], position, velocity)
            proposals[particle] = Proposal(Source.ADVISOR, suggestion.position, suggestion.note)
        for particle in worst[len(advice.suggestions) :]:
            proposals[particle] = Proposal(Source.SWARM, note=advice.problem)
        return proposals

    def _worst(self) -> list[int]:
        """The particles with the highest last values, worst first; failed ones before all."""
        order = np.argsort(-self.swarm.values, kind="stable")
        return [int(particle) for particle in order[: self.n_replaced]]

    def _view(self) -> SwarmView:
        """The swarm as it was last evaluated, in the user's units."""
        swarm, best = self.swarm, self.swarm.gbest_index
        particles = [
            ParticleView(self.space.decode(position), self.space.decode_velocity(velocity), value)
            for position, velocity, value in zip(
                swarm.positions, swarm.velocities, swarm.values.tolist(), strict=True
            )
        ]
        if best is None:
            return SwarmView(tuple(particles), None)
        best_params = self.space.decode(swarm.pbest_positions[best])
        return SwarmView(tuple(particles), ParticleView(best_params, {}, swarm.gbest_value))
