import numpy as np
import pytest
from scipy.optimize import approx_fprime

from llmpso.search.acquisition import expected_improvement
from llmpso.search.surrogate import gaussian_process
from llmpso.search.surrogate.posterior import fit
from llmpso.search.surrogate.scores import normal_scores
from llmpso.space import Categorical, Float, Integer, SearchSpace

PLANE = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})
MIXED = SearchSpace({"x": Float(0, 1), "kind": Categorical(["a", "b", "c"])})


def sample(space: SearchSpace, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([space.encode(space.decode(u)) for u in rng.random((n, len(space)))])


def bowl(positions: np.ndarray) -> np.ndarray:
    return np.sum((positions - 0.3) ** 2, axis=1)


def test_scores_preserve_ranks_and_share_ties() -> None:
    scores = normal_scores(np.array([5.0, 1e9, 5.0, -2.0]))
    assert scores[0] == scores[2]
    assert scores[3] < scores[0] < scores[1]


def test_scores_forget_the_scale() -> None:
    values = np.array([3.0, 1.0, 2.0])
    assert np.array_equal(normal_scores(values), normal_scores(np.exp(5 * values)))


def test_gradient_of_the_likelihood() -> None:
    positions = sample(PLANE, 15)
    apart = gaussian_process.apart(positions, positions, np.zeros(2, dtype=bool))
    scores, theta = normal_scores(bowl(positions)), np.array([0.2, -0.4, 0.1, -3.0])
    expected = approx_fprime(
        theta, lambda t: gaussian_process.negative_log_likelihood(t, apart, scores)[0], 1e-6
    )
    gradient = gaussian_process.negative_log_likelihood(theta, apart, scores)[1]
    assert gradient == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_it_learns_to_rank() -> None:
    known, new = sample(PLANE, 40), sample(PLANE, 50, seed=1)
    means = fit(PLANE, known, bowl(known)).predict(new).means
    assert np.corrcoef(means, bowl(new))[0, 1] > 0.9


def test_it_is_surer_where_it_was() -> None:
    known = sample(PLANE, 20)
    model = fit(PLANE, known, bowl(known))
    there = model.predict(known).deviations
    assert there.max() < model.predict(np.array([[1.0, 1.0]])).deviations[0]


def test_choices_without_order_are_all_equally_far() -> None:
    positions = np.array([[0.5, (i + 0.5) / 3] for i in range(3)])
    apart = gaussian_process.apart(positions, positions, np.array([False, True]))
    assert np.array_equal(apart[1], 1 - np.eye(3))


def test_failures_are_learned_where_they_happen() -> None:
    known = sample(PLANE, 40)
    values = np.where(known[:, 0] > 0.5, np.inf, bowl(known))
    model = fit(PLANE, known, values)
    failing = model.predict(np.array([[0.9, 0.5], [0.1, 0.5]])).failing
    assert failing[0] > 0.5 > failing[1]


def test_improvement_shuns_failures_and_known_bad_places() -> None:
    known = sample(PLANE, 30)
    model = fit(PLANE, known, bowl(known))
    near, far = expected_improvement(model.predict(np.array([[0.3, 0.3], [1, 1]])), model.best)
    assert near > far >= 0


def test_a_kriging_believer_leaves_less_to_gain() -> None:
    known, place = sample(PLANE, 10), np.array([[0.3, 0.3]])
    model = fit(PLANE, known, bowl(known))
    believed = model.conditioned_on(place, model.predict(place).means)
    assert believed.predict(place).deviations[0] < model.predict(place).deviations[0]


def test_a_trend_is_used_where_nothing_is_known() -> None:
    known = sample(PLANE, 3)
    model = fit(PLANE, known, bowl(known), prior_mean=lambda places: 10 * places[:, 0])
    low, high = model.predict(np.array([[0.0, 0.5], [1.0, 0.5]])).means
    assert high - low > 1


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [1.0, 2.0, np.inf]])
def test_it_accepts_constant_values_and_a_failure(values: list[float]) -> None:
    space = SearchSpace({"n": Integer(1, 9)})
    known = np.array([[0.1], [0.5], [0.9]])
    prediction = fit(space, known, np.array(values)).predict(known)
    assert np.all(np.isfinite(prediction.means)) and np.all(prediction.deviations > 0)
