"""Optuna's samplers where only listed configurations can be trained. Imports Optuna."""

from typing import Any

import optuna

from llmpso.benchmark.pool import Pool
from llmpso.memory.optuna_study import distribution_of
from llmpso.space import SearchSpace


class ChoosingSampler(optuna.samplers.BaseSampler):
    """Draws as another sampler does, and takes from a pool what comes nearest.

    Args:
        own: The sampler that draws.
        space: Of the configurations; without conditions.
        pool: What may be trained.
    """

    def __init__(self, own: optuna.samplers.BaseSampler, space: SearchSpace, pool: Pool) -> None:
        self._own, self._pool = own, pool
        self._kinds = {name: distribution_of(optuna, each) for name, each in space.items()}

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """All hyperparameters, since one configuration is chosen as a whole."""
        return self._kinds

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """The configuration that the pool gives for what the other sampler draws."""
        related = self._own.infer_relative_search_space(study, trial)
        drawn = dict(self._own.sample_relative(study, trial, related))
        for name, kind in self._kinds.items():
            if name not in drawn:
                drawn[name] = self._own.sample_independent(study, trial, name, kind)
        return dict(self._pool.taken_for(drawn))

    def sample_independent(
        self, study: Any, trial: Any, param_name: str, param_distribution: Any
    ) -> Any:
        """Nothing is left to draw alone."""
        raise AssertionError(f"{param_name} is not of the space")

    def before_trial(self, study: Any, trial: Any) -> None:
        """What the other sampler does then."""
        self._own.before_trial(study, trial)

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        """What the other sampler does then."""
        self._own.after_trial(study, trial, state, values)
