"""Which models are averaged, and how much each counts: greedy selection with replacement.

Caruana, Niculescu-Mizil, Crew and Ksikes (2004), *Ensemble selection from libraries of models*:
begin with the best model; then add, again and again, the one whose addition makes the average
best, which may be one that is in it. The best average that was met on the way counts.
"""

from collections.abc import Callable

import numpy as np

from llmpso.space import Floats

ROUNDS = 50
"""Additions, as in auto-sklearn; a weight is a multiple of one over at most so many."""

Loss = Callable[[Floats], tuple[float, ...]]
"""From predictions to figures of which lower is better; a later one decides between equals."""


def greedy_weights(predictions: Floats, loss: Loss, most: int) -> Floats:
    """The weights of an average of some models.

    Args:
        predictions: Of each model for the same samples, shape (n_models, n_samples, ...); of
            equals the first is taken.
        loss: Of such predictions.
        most: Models that may have a weight.

    Returns:
        Shape (n_models,), summing to 1; the loss of the average is never above that of a model.
    """
    counts = np.zeros(len(predictions))
    total, weights = np.zeros_like(predictions[0]), counts
    lowest: tuple[float, ...] = (np.inf,)
    for n_chosen in range(1, ROUNDS + 1):
        is_full = np.count_nonzero(counts) == most
        allowed = np.flatnonzero(counts) if is_full else range(len(counts))
        found, index = min((loss((total + predictions[at]) / n_chosen), at) for at in allowed)
        total, counts[index] = total + predictions[index], counts[index] + 1
        if found < lowest:
            lowest, weights = found, counts / n_chosen
    return weights
