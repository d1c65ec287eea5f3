"""Analytic test functions, shifted and rotated by seed, under neutral names.

Definitions of Surjanovic and Bingham, Virtual Library of Simulation Experiments; Schwefel with
the continuation outside its domain of Liang, Qu and Suganthan, CEC 2014 Problem Definitions, f10.
A language model knows that the optimum of Rastrigin is the origin: hence shift and names.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from llmpso.errors import SpecError
from llmpso.space import Float, Floats, Params, SearchSpace
from llmpso.trial import Evaluation

BOUND = 5.0
"""Every variable is in [-BOUND, BOUND]."""

CODE_VERSION = 1
"""Raise it whenever the same parameters would give another value."""

SHIFT = 0.6
"""The optimum is within this share of the box."""


@dataclass(frozen=True, slots=True)
class _Function:
    formula: Callable[[Floats], float]
    optimum: float
    """Each coordinate of the minimiser; the minimum is 0."""
    half_width: float
    """Half the usual range of a coordinate."""


def _rastrigin(z: Floats) -> float:
    return float(10 * z.size + np.sum(z**2 - 10 * np.cos(2 * np.pi * z)))


def _ackley(z: Floats) -> float:
    far = math.exp(-0.2 * math.sqrt(float(np.mean(z**2))))
    return 20 * (1 - far) + math.e - math.exp(float(np.mean(np.cos(2 * np.pi * z))))


def _griewank(z: Floats) -> float:
    waves = np.prod(np.cos(z / np.sqrt(np.arange(1, z.size + 1))))
    return float(np.sum(z**2) / 4000 - waves + 1)


def _rosenbrock(z: Floats) -> float:
    return float(np.sum(100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2))


def _sphere(z: Floats) -> float:
    return float(np.sum(z**2))


def _levy(z: Floats) -> float:
    w = 1 + (z - 1) / 4
    inner = (w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)
    last = (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)
    return float(np.sin(np.pi * w[0]) ** 2 + np.sum(inner) + last)


def _schwefel(z: Floats) -> float:
    folded = np.where(z > 500, 500 - z % 500, np.where(z < -500, np.abs(z) % 500 - 500, z))
    waves = np.sum(folded * np.sin(np.sqrt(np.abs(folded))))
    beyond = np.sum(np.maximum(np.abs(z) - 500, 0) ** 2) / 10_000
    return float(418.9828872724338 * z.size - waves + beyond)


FUNCTIONS = {
    "rastrigin": _Function(_rastrigin, 0.0, 5.12),
    "ackley": _Function(_ackley, 0.0, 32.768),
    "griewank": _Function(_griewank, 0.0, 600.0),
    "rosenbrock": _Function(_rosenbrock, 1.0, 2.048),
    "sphere": _Function(_sphere, 0.0, 5.12),
    "levy": _Function(_levy, 1.0, 10.0),
    "schwefel": _Function(_schwefel, 420.9687462275036, 500.0),
}
"""The functions by their real names."""


class AnalyticObjective:
    """An analytic function of `n_dims` variables, each from -5 to 5; the minimum is 0.

    Args:
        function: One of `FUNCTIONS`.
        n_dims: Number of variables, 2 or more.
        seed: Where the optimum is shifted to, and how the axes are turned.
        plain: Neither shifted nor rotated, under its real name: only to show what knowing the
            name is worth.

    Raises:
        SpecError: The function is unknown or has fewer than 2 variables.
    """

    deterministic = True

    def __init__(self, function: str, n_dims: int, *, seed: int = 0, plain: bool = False) -> None:
        if function not in FUNCTIONS:
            raise SpecError(f"function is {function!r}; it must be one of: {', '.join(FUNCTIONS)}")
        if n_dims < 2:
            raise SpecError(f"n_dims is {n_dims!r}; it must be 2 or more")
        self._function = FUNCTIONS[function]
        place = list(FUNCTIONS).index(function)
        rng = np.random.default_rng([seed, place, n_dims])
        self._shift = np.zeros(n_dims) if plain else SHIFT * BOUND * rng.uniform(-1, 1, n_dims)
        self._rotation = np.eye(n_dims) if plain else _rotation(n_dims, rng)
        self.name = function if plain else f"simulation-{place + 1}-{n_dims}"
        self.metric = "simulated cost"
        self.description = (
            f"The {function} function of {n_dims} variables."
            if plain
            else f"A simulation with {n_dims} real inputs; nothing else is known about it."
        )
        self.space = SearchSpace({f"x{i + 1}": Float(-BOUND, BOUND) for i in range(n_dims)})
        self.fingerprint = f"{CODE_VERSION} {function} {n_dims} {seed} {plain}"

    def evaluate(self, params: Params, *, fidelity: float = 1.0, seed: int = 0) -> Evaluation:
        """Compute the function; fidelity and seed change nothing."""
        x = np.array(list(self.space.validate(params).values()))
        turned = self._rotation @ (x - self._shift) * self._function.half_width / BOUND
        return Evaluation(self._function.formula(self._function.optimum + turned))

    @property
    def optimum(self) -> dict[str, float]:
        """Where the minimum is."""
        return dict(zip(self.space, self._shift.tolist(), strict=True))


def _rotation(n_dims: int, rng: np.random.Generator) -> Floats:
    """A rotation drawn evenly from all of them (Haar), by QR of a normal matrix."""
    q, r = np.linalg.qr(rng.standard_normal((n_dims, n_dims)))
    turned: Floats = q * np.sign(np.diag(r))
    return turned
