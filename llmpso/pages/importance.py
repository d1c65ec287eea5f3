"""Which hyperparameters decided the values of a study.

A random forest (Breiman, 2001) learns value from configuration; how much worse it gets when one
hyperparameter is shuffled is the importance of that one.
"""

import numpy as np

from llmpso.extras import needed_by
from llmpso.pages.trial_points import Points

LEAST_TRIALS = 10
"""With fewer trials there is nothing to learn from."""

MOST_TRIALS, MOST_DIMENSIONS = 2_000, 16
"""Newest trials, and dimensions that the forest used most, that are looked at."""

N_TREES, N_REPEATS = 60, 5


def importances(points: Points) -> dict[str, float]:
    """The share of each hyperparameter, the largest first; they sum to 1.

    Empty if there are too few trials, or if the values do not depend on any of them. Ranks are
    learned in place of values, so that one diverged training does not decide all.
    """
    if len(points.trials) < LEAST_TRIALS:
        return {}
    with needed_by("the importance of hyperparameters", "plots"):
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.inspection import permutation_importance

    names, cube = list(points.space), points.cube[-MOST_TRIALS:]
    ranks = points.shades[-MOST_TRIALS:]
    forest = RandomForestRegressor(N_TREES, min_samples_leaf=2, random_state=0)
    forest.fit(cube, ranks)
    used = np.argsort(forest.feature_importances_)[::-1][:MOST_DIMENSIONS]
    if len(names) > MOST_DIMENSIONS:
        cube = cube[:, used]
        names = [names[index] for index in used]
        forest.fit(cube, ranks)
    drops = permutation_importance(forest, cube, ranks, n_repeats=N_REPEATS, random_state=0)
    gains = np.clip(drops.importances_mean, 0.0, None)
    if not gains.sum():
        return {}
    shares = zip(names, (gains / gains.sum()).tolist(), strict=True)
    return dict(sorted(shares, key=lambda share: -share[1]))


def ordered(points: Points, shares: dict[str, float]) -> list[str]:
    """All hyperparameters, the most important first; as the space names them if none is known."""
    return [*shares, *(name for name in points.space if name not in shares)]
