import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmpso.errors import SpecError
from llmpso.search.swarm import (
    Coefficients,
    LinearInertia,
    Swarm,
    Topology,
    best_informants,
    draw_steps,
    initial_swarm,
    move,
)


class FixedRandom:
    """A generator whose draws are all one number."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.value)


def swarm_of(positions, velocities, pbest_positions, pbest_values) -> Swarm:
    arrays = [np.array(a, dtype=float) for a in (positions, velocities)]
    values = np.array(pbest_values, dtype=float)
    return Swarm(*arrays, values, np.array(pbest_positions, dtype=float), values, iteration=1)


def test_one_step_equals_the_equation_by_hand() -> None:
    swarm = swarm_of(
        positions=[[0.5], [0.2]],
        velocities=[[0.1], [-0.1]],
        pbest_positions=[[0.4], [0.3]],
        pbest_values=[2.0, 1.0],
    )
    coefficients = Coefficients(inertia=0.5, cognitive=1.0, social=2.0, velocity_limit=1.0)
    moved = move(swarm, coefficients, Topology.STAR, FixedRandom(0.5))
    # v = 0.5·0.1 + 1·0.5·(0.4 − 0.5) + 2·0.5·(0.3 − 0.5) = 0.05 − 0.05 − 0.2
    # v = 0.5·−0.1 + 1·0.5·(0.3 − 0.2) + 2·0.5·(0.3 − 0.2) = −0.05 + 0.05 + 0.1
    np.testing.assert_allclose(moved.velocities, [[-0.2], [0.1]])
    np.testing.assert_allclose(moved.positions, [[0.3], [0.3]])


def test_many_draws_of_one_particle_are_draws_of_its_step() -> None:
    swarm = initial_swarm(4, 5, Coefficients(), np.random.default_rng(0))
    swarm = swarm.updated([0, 1, 2, 3], swarm.positions, np.array([3.0, 1.0, 2.0, 4.0]))
    rng = np.random.default_rng(1)
    drawn, _ = draw_steps(swarm, np.full(400, 2), Coefficients(), Topology.STAR, rng)
    steps = [
        move(swarm, Coefficients(), Topology.STAR, np.random.default_rng(s)).positions[2]
        for s in range(400)
    ]
    assert np.allclose(drawn.mean(axis=0), np.mean(steps, axis=0), atol=0.05)


def test_walls_reflect_position_and_velocity() -> None:
    swarm = swarm_of([[0.1], [0.9]], [[-0.3], [0.3]], [[0.1], [0.9]], [np.inf, np.inf])
    moved = move(swarm, Coefficients(inertia=1.0), Topology.STAR, FixedRandom(0.5))
    np.testing.assert_allclose(moved.positions, [[0.2], [0.8]])
    np.testing.assert_allclose(moved.velocities, [[0.3], [-0.3]])


def test_a_ring_informs_neighbours_only() -> None:
    values = np.array([3.0, 5.0, 2.0, 4.0, 1.0])
    assert best_informants(Topology.RING, values).tolist() == [4, 2, 2, 4, 4]
    assert best_informants(Topology.STAR, values).tolist() == [4]


def test_in_a_ring_without_a_value_nearby_there_is_no_best() -> None:
    positions = np.linspace(0.1, 0.9, 6)[:, np.newaxis]
    values = np.array([0.0, np.inf, np.inf, np.inf, np.inf, np.inf])
    swarm = swarm_of(positions, np.zeros((6, 1)), positions, values)
    moved = move(swarm, Coefficients(), Topology.RING, FixedRandom(0.5))
    np.testing.assert_array_equal(moved.positions[2:5], positions[2:5])
    assert (moved.positions[[1, 5]] < positions[[1, 5]]).all()


def test_a_ring_hides_a_far_best() -> None:
    positions = np.linspace(0.1, 0.9, 6)[:, np.newaxis]
    values = np.array([0.0, 5, 5, 5, 5, 5])
    swarm = swarm_of(positions, np.zeros((6, 1)), positions, values)
    ring = move(swarm, Coefficients(), Topology.RING, FixedRandom(0.5))
    star = move(swarm, Coefficients(), Topology.STAR, FixedRandom(0.5))
    assert ring.velocities[3, 0] == pytest.approx(-1.496 * 0.5 * 0.16)  # neighbour 2, the first
    assert star.velocities[3, 0] == pytest.approx(-0.359, abs=1e-3)  # particle 0


def test_failures_attract_no_particle() -> None:
    swarm = swarm_of([[0.5], [0.2]], [[0.0], [0.0]], [[0.1], [0.9]], [np.inf, np.inf])
    moved = move(swarm, Coefficients(), Topology.STAR, FixedRandom(0.9))
    np.testing.assert_array_equal(moved.positions, swarm.positions)
    assert swarm.gbest_index is None


def test_a_failure_never_updates_the_best() -> None:
    swarm = swarm_of([[0.5], [0.2]], [[0.0], [0.0]], [[0.5], [0.2]], [1.0, 2.0])
    updated = swarm.updated([0, 1], np.array([[0.6], [0.7]]), np.array([np.inf, 0.5]))
    np.testing.assert_array_equal(updated.pbest_positions, [[0.5], [0.7]])
    np.testing.assert_array_equal(updated.pbest_values, [1.0, 0.5])
    assert updated.gbest_index == 1


@given(
    st.integers(2, 12),
    st.integers(1, 6),
    st.integers(0, 2**32),
    st.sampled_from(Topology),
    st.floats(0.01, 1.0),
)
def test_invariants_of_every_swarm(n_particles, n_dims, seed, topology, limit) -> None:
    rng = np.random.default_rng(seed)
    coefficients = Coefficients(velocity_limit=limit)
    swarm = initial_swarm(n_particles, n_dims, coefficients, rng)
    strata = np.sort((swarm.positions * n_particles).astype(int), axis=0)
    assert (strata == np.arange(n_particles)[:, np.newaxis]).all()  # a Latin hypercube
    best = np.inf
    for _ in range(5):
        values = np.where(rng.random(n_particles) < 0.2, np.inf, rng.random(n_particles))
        swarm = swarm.updated(list(range(n_particles)), swarm.positions, values)
        assert swarm.gbest_value <= best
        best = swarm.gbest_value
        swarm = move(swarm, coefficients, topology, rng)
        assert ((swarm.positions >= 0) & (swarm.positions <= 1)).all()
        assert (np.abs(swarm.velocities) <= limit).all()


def test_inertia_falls_linearly_and_stays() -> None:
    schedule = LinearInertia(0.9, 0.4, iterations=5)
    assert [schedule.at(i) for i in (0, 5, 9)] == [0.9, 0.4, 0.4]
    assert schedule.at(2) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inertia": -0.1}, "inertia is -0.1; it must be in [0, 4]"),
        ({"velocity_limit": 0}, "velocity_limit is 0; it must be in (0, 1]"),
    ],
)
def test_wrong_coefficients_are_refused(options, message) -> None:
    with pytest.raises(SpecError) as caught:
        Coefficients(**options)
    assert str(caught.value) == message
