"""What the search itself costs: a step of the swarm, and the surrogate's fit and screening."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from llmpso.benchmark.rivals import pyswarms_backend
from llmpso.search.surrogate.posterior import fit
from llmpso.search.swarm import Coefficients, Swarm, Topology, initial_swarm, move
from llmpso.space import Float, Floats, SearchSpace

PARTICLES = (10, 100, 1_000, 10_000)
DIMENSIONS = (10, 100)
OBSERVATIONS = (60, 150, 1_000, 5_000)
SURROGATE_DIMENSIONS = (5, 100)
N_CANDIDATES = 100
COEFFICIENTS = Coefficients()

Step = Callable[[], object]


def measure_steps(repeats: int) -> Iterator[dict[str, Any]]:
    """Seconds of one step of each swarm, one row per repetition; all take turns."""
    with threadpool_limits(limits=1):
        for n_particles, n_dims in product(PARTICLES, DIMENSIONS):
            steps = _swarm_steps(n_particles, n_dims)
            for repeat, (name, step) in product(range(repeats), steps.items()):
                labels = {"particles": n_particles, "dimensions": n_dims, "repeat": repeat}
                yield labels | {"what": name, "seconds": seconds_of(step)}


def step_table(raw: pd.DataFrame) -> pd.DataFrame:
    """Median microseconds of one step, and the swarm's as a share of the others'."""
    medians = raw.groupby(["particles", "dimensions", "what"])["seconds"].median() * 1e6
    table = medians.unstack("what")[["ours", "PySwarms", "memory"]]
    table["ours / PySwarms"] = table["ours"] / table["PySwarms"]
    table["ours / memory"] = table["ours"] / table["memory"]
    return table.reset_index()


def measure_surrogate(repeats: int) -> Iterator[dict[str, Any]]:
    """Seconds to learn from a study and to screen 100 candidates, one row per repetition.

    With newly fitted hyperparameters, and with those of an earlier fit.
    """
    with threadpool_limits(limits=1):
        for n, n_dims, repeat in product(OBSERVATIONS, SURROGATE_DIMENSIONS, range(repeats)):
            labels = {"observations": n, "dimensions": n_dims, "repeat": repeat}
            for what, step in _screenings(n, n_dims, seed=repeat).items():
                yield labels | {"what": what, "seconds": seconds_of(step, at_least=0.0)}


def surrogate_table(raw: pd.DataFrame) -> pd.DataFrame:
    """Median milliseconds by number of observations; one column per dimension and kind."""
    columns = raw["dimensions"].astype(str) + " dimensions: " + raw["what"] + " (ms)"
    medians = raw.groupby([raw["observations"], columns], sort=False)["seconds"].median() * 1e3
    return medians.unstack().reset_index()


def seconds_of(step: Step, at_least: float = 0.02) -> float:
    """Mean seconds of a step, repeated until so many seconds have passed."""
    begin, n_steps = time.perf_counter(), 0
    while n_steps == 0 or time.perf_counter() - begin < at_least:
        step()
        n_steps += 1
    return (time.perf_counter() - begin) / n_steps


def _swarm_steps(n_particles: int, n_dims: int) -> dict[str, Step]:
    rng = np.random.default_rng(n_particles + n_dims)
    swarm = initial_swarm(n_particles, n_dims, COEFFICIENTS, rng)
    values = rng.random(n_particles)
    return {
        "ours": partial(_our_step, swarm, values, rng),
        "PySwarms": _pyswarms_step(swarm, values),
        "memory": partial(_memory_bound, swarm, rng),
    }


def _our_step(swarm: Swarm, values: Floats, rng: np.random.Generator) -> None:
    updated = swarm.updated(range(swarm.n_particles), swarm.positions, values)
    move(updated, COEFFICIENTS, Topology.STAR, rng)


def _pyswarms_step(start: Swarm, values: Floats) -> Step:
    """The same step by PySwarms' functions: bests, velocities, positions, walls that reflect."""
    backend = pyswarms_backend()
    walls = np.zeros(start.positions.shape[1]), np.ones(start.positions.shape[1])
    limits = (-COEFFICIENTS.velocity_limit, COEFFICIENTS.velocity_limit)
    options = {"w": COEFFICIENTS.inertia, "c1": COEFFICIENTS.cognitive, "c2": COEFFICIENTS.social}
    swarm = backend.create_swarm(*start.positions.shape, options=options, bounds=walls)
    swarm.pbest_pos, swarm.pbest_cost = swarm.position.copy(), np.full(start.n_particles, np.inf)
    star = backend.topology.Star()
    at_walls = backend.handlers.BoundaryHandler("reflective")
    velocities = backend.handlers.VelocityHandler("unmodified")

    def step() -> None:
        swarm.current_cost = values
        swarm.pbest_pos, swarm.pbest_cost = backend.compute_pbest(swarm)
        swarm.best_pos, swarm.best_cost = star.compute_gbest(swarm)
        swarm.velocity = star.compute_velocity(swarm, limits, velocities, walls)
        swarm.position = star.compute_position(swarm, walls, at_walls)

    return step


def _memory_bound(swarm: Swarm, rng: np.random.Generator) -> None:
    """What no step can do without: two draws, positions and velocities read, both written."""
    draws = rng.random(swarm.positions.shape)
    draws += rng.random(swarm.positions.shape)
    draws += swarm.positions
    _ = draws + swarm.velocities


def _screenings(n_observations: int, n_dims: int, seed: int) -> dict[str, Step]:
    rng = np.random.default_rng(seed)
    space = SearchSpace({f"x{i}": Float(0.0, 1.0) for i in range(n_dims)})
    positions = rng.random((n_observations, n_dims))
    values = ((positions - 0.4) ** 2).sum(axis=1) + 0.05 * rng.standard_normal(n_observations)
    candidates = rng.random((N_CANDIDATES, n_dims))
    before = fit(space, positions, values)
    return {
        "fitted": lambda: fit(space, positions, values).predict(candidates),
        "not fitted": lambda: fit(space, positions, values, like=before).predict(candidates),
    }
