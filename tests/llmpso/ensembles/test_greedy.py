"""Greedy selection: weights that sum to one, of few enough models, never worse than the best."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpso.ensembles.greedy import greedy_weights
from llmpso.ensembles.validated import Validated


def averaged(weights, predictions):
    return np.tensordot(weights, predictions, axes=1)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 12), most=st.integers(1, 6))
@pytest.mark.parametrize("n_classes", [0, 3])
def test_an_average_is_never_worse_than_its_best_model(n_classes, seed, n, most) -> None:
    rng = np.random.default_rng(seed)
    if n_classes:
        predictions = rng.dirichlet(np.ones(n_classes), size=(n, 24))
        targets = rng.integers(0, n_classes, 24)
    else:
        targets = rng.normal(size=24)
        predictions = targets + rng.normal(size=(n, 24)) * rng.uniform(0.1, 3, size=(n, 1))
    loss = Validated.of((predictions[0], targets)).loss(np.arange(24))
    weights = greedy_weights(predictions, loss, most)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert 1 <= np.count_nonzero(weights) <= most
    best = min(loss(each)[0] for each in predictions)
    assert loss(averaged(weights, predictions))[0] <= best + 1e-9


def test_opposite_errors_cancel_and_a_useless_model_is_left_out() -> None:
    targets = np.linspace(0, 1, 20)
    predictions = np.stack([targets + 1, targets - 1, targets + 9])
    loss = Validated(predictions[0], targets).loss(np.arange(20))
    assert greedy_weights(predictions, loss, 3).tolist() == [0.5, 0.5, 0]
    assert greedy_weights(predictions, loss, 1).tolist() == [1, 0, 0]


def test_of_equal_models_the_first_is_taken() -> None:
    same = np.ones((3, 20))
    loss = Validated(same[0], np.zeros(20)).loss(np.arange(20))
    assert greedy_weights(same, loss, 2).tolist() == [1, 0, 0]
