"""A conditional space beside the same space as a flat one: `python -m` this module.

Studies of real trainings take hours. So a forest of trees is fitted to some thousand real ones of
each problem, and the searches look for the minimum of what it predicts.
"""

import math
from collections.abc import Callable, Mapping
from statistics import mean
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from llmpso.benchmark.conditional import CONDITIONAL, ConditionalObjective, flat
from llmpso.benchmark.lookup_table import searched
from llmpso.benchmark.rivals import optuna_search, random_search
from llmpso.search.optimizer import Optimizer
from llmpso.search.pso import PSO
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.space import Params, SearchSpace
from llmpso.trial import Evaluation, Trial

N_TRAINED, N_JUDGED, BUDGET, N_SEEDS = 2_000, 4_000, 45, 12
"""Real trainings, predictions that decide what the best 1% are, evaluations, and studies."""

FAILED = 1e6
"""Value of a training that diverged."""

ARMS: Mapping[str, Callable[..., Optimizer]] = {
    "guided": SurrogateAssistedSearch,
    "flat": lambda space, **options: SurrogateAssistedSearch(flat(space), **options),
    "optuna-tpe": lambda space, **options: optuna_search(space, "tpe", **options),
    "pso": PSO,
    "random": random_search,
}
"""Searches by name; `flat` knows nothing of conditions, and what does not count is ignored."""


class Imitation:
    """What a forest predicts of the trainings of a problem.

    Args:
        name: Of the problem.
        n_trained: Trainings that the forest is fitted to.
    """

    def __init__(self, name: str, n_trained: int = N_TRAINED) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        objective = ConditionalObjective(name)
        self.space = objective.space
        drawn = self._drawn(n_trained, 777)
        values = [_trained(objective, params) for params in drawn]
        self._forest = ExtraTreesRegressor(100, random_state=0)
        self._forest.fit([self.space.encode(params) for params in drawn], values)
        judged = self._forest.predict([self.space.encode(p) for p in self._drawn(N_JUDGED, 5)])
        self.best, self.target, self.middle = np.quantile(judged, [0, 0.01, 0.5]).tolist()

    def __call__(self, params: Params) -> float:
        """The predicted value of a configuration, which may have values that do not count."""
        used, _ = self.space.without_unused(params)
        return float(self._forest.predict([self.space.encode(used)])[0])

    def _drawn(self, n: int, seed: int) -> list[dict[str, Any]]:
        places = np.random.default_rng(seed).random((n, len(self.space)))
        return [self.space.decode(place) for place in places]


def study(imitation: Imitation, arm: str, seed: int) -> list[float]:
    """The values of one study."""

    def measure(trial: Trial) -> Trial:
        return trial.completed(Evaluation(imitation(trial.params)), 0.0)

    trials = searched(ARMS[arm](imitation.space, seed=seed), measure, BUDGET)
    return [trial.value for trial in trials if trial.value is not None]


def figures(imitation: Imitation, arm: str) -> tuple[float, float]:
    """Evaluations to the best 1% (one more than the budget where it is not reached), and regret.

    A regret of 0 is the best prediction, 1 the median.
    """
    studies = [study(imitation, arm, seed) for seed in range(N_SEEDS)]
    needed = [
        next((n for n, v in enumerate(values, start=1) if v <= imitation.target), BUDGET + 1)
        for values in studies
    ]
    span = imitation.middle - imitation.best
    return mean(needed), mean((min(values) - imitation.best) / span for values in studies)


def _trained(objective: ConditionalObjective, params: Params) -> float:
    try:
        value = objective.evaluate(params).value
    except ValueError:
        return FAILED
    return value if math.isfinite(value) else FAILED


def n_conditional(space: SearchSpace) -> str:
    """How many of the hyperparameters are conditional."""
    return f"{len(space.conditions.of)} of {len(space)}"


def main() -> None:
    """Print the figures of all searches on each problem."""
    with threadpool_limits(limits=1):
        for name, kind in CONDITIONAL.items():
            imitation = Imitation(name)
            for arm in ARMS:
                needed, regret = figures(imitation, arm)
                shown = f"{needed:.1f} evaluations to the best 1%, regret {regret:.3f}"
                print(f"{name} ({n_conditional(kind.space)}), {arm}: {shown}", flush=True)


if __name__ == "__main__":
    main()
