"""Other libraries' optimizers, Optuna's among them, behind the same ask and tell.

Random search; TPE, Gaussian process and CMA-ES of Optuna; global-best PSO of PySwarms. Each is
run as its authors ship it: each may repeat a configuration, and has every value before it proposes
again (PySwarms: after each iteration of its swarm).
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from llmpso.errors import SpecError, TellError
from llmpso.search.archive import trial_seed
from llmpso.space import Categorical, Dimension, Integer, Params, SearchSpace
from llmpso.trial import Source, Trial, TrialState

OPTUNA_SAMPLERS = ("tpe", "gp", "cma")
"""Samplers of Optuna by short name."""

PYSWARMS_OPTIONS = {"c1": 0.5, "c2": 0.3, "w": 0.9}
"""Coefficients of every example in the documentation of PySwarms; it has no defaults."""

PYSWARMS_LOGGING = Path(__file__).parent / "data" / "pyswarms_logging.yaml"
"""Its logging configuration: none."""


class _Engine(Protocol):
    """What a rival's library does: configurations out, values in (inf for a failed trial)."""

    def propose(self) -> list[dict[str, Any]]: ...

    def learn(self, values: Sequence[float]) -> None: ...


class Rival:
    """A foreign search method as an optimizer of this library; the functions below make one.

    Args:
        engine: The method.
        seed: Each trial's seed derives from it.
        n_start: How many of the first trials are configurations that the user knew.
    """

    def __init__(self, engine: _Engine, *, seed: int = 0, n_start: int = 0) -> None:
        self._engine = engine
        self._seed = seed
        self._n_start = n_start
        self._queue: list[dict[str, Any]] = []
        self._values: list[float] = []
        self._pending: Trial | None = None
        self._n_asked = 0

    def ask(self, limit: int | None = None) -> list[Trial]:
        """Propose one trial."""
        if self._pending is not None:
            raise TellError(
                f"ask was called before trial {self._pending.number} has a result; call tell first"
            )
        if limit == 0:
            return []
        number, self._n_asked = self._n_asked, self._n_asked + 1
        self._pending = Trial(
            number=number,
            params=self._next(),
            source=Source.START if number < self._n_start else Source.RIVAL,
            iteration=number,
            particle=0,
            seed=trial_seed(self._seed, number),
        )
        return [self._pending]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn from the result of the trial that the last `ask` proposed."""
        asked = [] if self._pending is None else [self._pending.number]
        if [trial.number for trial in trials] != asked:
            raise TellError(
                f"tell got trials {[t.number for t in trials]}; the last ask proposed {asked}"
            )
        for trial in trials:
            if trial.state is TrialState.PENDING:
                raise TellError(f"trial {trial.number} is still pending; it needs a result")
            self._values.append(math.inf if trial.value is None else trial.value)
        self._pending = None

    def _next(self) -> dict[str, Any]:
        if not self._queue:
            self._engine.learn(self._values)
            self._values, self._queue = [], self._engine.propose()
        return self._queue.pop(0)


def random_search(space: SearchSpace, *, seed: int = 0, start: Sequence[Params] = ()) -> Rival:
    """Configurations drawn evenly from the unit cube."""
    return Rival(_Random(space, seed, start), seed=seed, n_start=len(start))


def optuna_search(
    space: SearchSpace, sampler: str, *, seed: int = 0, start: Sequence[Params] = ()
) -> Rival:
    """A sampler of Optuna (Akiba et al., 2019) with its defaults.

    Args:
        space: What may be tried; ordered choices become whole numbers, so that order counts.
        sampler: `tpe`, `gp` or `cma`.
        seed: The only source of randomness.
        start: Known configurations, evaluated first.

    Raises:
        SpecError: The sampler is unknown, or Optuna is not installed.
    """
    return Rival(_Optuna(space, sampler, seed, start), seed=seed, n_start=len(start))


def pyswarms_search(
    space: SearchSpace, *, n_particles: int = 6, seed: int = 0, start: Sequence[Params] = ()
) -> Rival:
    """Global-best PSO of PySwarms (Miranda, 2018) in the unit cube, bounds handled by default.

    Raises:
        SpecError: PySwarms is not installed.
    """
    return Rival(_PySwarms(space, n_particles, seed, start), seed=seed, n_start=len(start))


class _Random:
    def __init__(self, space: SearchSpace, seed: int, start: Sequence[Params]) -> None:
        self._space, self._rng = space, np.random.default_rng(seed)
        self._start = [space.validate(params) for params in start]

    def propose(self) -> list[dict[str, Any]]:
        if self._start:
            return [self._start.pop(0)]
        return [self._space.decode(self._rng.random(len(self._space)))]

    def learn(self, values: Sequence[float]) -> None:
        """Nothing is learned."""


class _Optuna:
    def __init__(
        self, space: SearchSpace, sampler: str, seed: int, start: Sequence[Params]
    ) -> None:
        if sampler not in OPTUNA_SAMPLERS:
            allowed = ", ".join(OPTUNA_SAMPLERS)
            raise SpecError(f"sampler is {sampler!r}; it must be one of: {allowed}")
        try:
            import optuna
        except ImportError as error:
            raise _missing("Optuna") from error
        # It would warn, at every trial, that it draws unordered choices at random.
        cma = partial(optuna.samplers.CmaEsSampler, warn_independent_sampling=False)
        makers: dict[str, Callable[..., Any]] = {
            "tpe": optuna.samplers.TPESampler,
            "gp": optuna.samplers.GPSampler,
            "cma": cma,
        }
        self._space = space
        self._failed = optuna.trial.TrialState.FAIL
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(sampler=makers[sampler](seed=seed))
        for params in start:
            known = space.validate(params)
            self._study.enqueue_trial(
                {name: _indexed(space[name], value) for name, value in known.items()}
            )
        self._open: list[Any] = []

    def propose(self) -> list[dict[str, Any]]:
        self._open = [self._study.ask()]
        return [drawn_by_optuna(self._space, self._open[0])]

    def learn(self, values: Sequence[float]) -> None:
        for trial, value in zip(self._open, values, strict=True):
            if math.isfinite(value):
                self._study.tell(trial, value)
            else:
                self._study.tell(trial, state=self._failed)


class _PySwarms:
    def __init__(
        self, space: SearchSpace, n_particles: int, seed: int, start: Sequence[Params]
    ) -> None:
        backend = pyswarms_backend()
        self._space, self._operators, self._topology = space, backend, backend.topology.Star()
        self._bounds = (np.zeros(len(space)), np.ones(len(space)))
        self._boundary = backend.handlers.BoundaryHandler(strategy="periodic")
        self._velocity = backend.handlers.VelocityHandler(strategy="unmodified")
        self._random = np.random.RandomState(seed)
        with self._own_randomness():
            self._swarm = backend.create_swarm(
                n_particles, len(space), bounds=self._bounds, options=PYSWARMS_OPTIONS
            )
        for particle, params in enumerate(start[:n_particles]):
            self._swarm.position[particle] = space.encode(space.validate(params))
        self._swarm.pbest_cost = np.full(n_particles, np.inf)
        # PySwarms knows no failed trials: without any value, all follow the first particle.
        self._swarm.best_pos = self._swarm.position[0].copy()

    def propose(self) -> list[dict[str, Any]]:
        return [self._space.decode(position) for position in self._swarm.position]

    def learn(self, values: Sequence[float]) -> None:
        if not values:
            return
        swarm = self._swarm
        swarm.current_cost = np.array(values)
        swarm.pbest_pos, swarm.pbest_cost = self._operators.compute_pbest(swarm)
        swarm.best_pos, swarm.best_cost = self._topology.compute_gbest(swarm)
        with self._own_randomness():
            swarm.velocity = self._topology.compute_velocity(
                swarm, None, self._velocity, self._bounds
            )
            swarm.position = self._topology.compute_position(swarm, self._bounds, self._boundary)

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """PySwarms draws from NumPy's global state: lend it ours, and put the other back."""
        outside = np.random.get_state()
        np.random.set_state(self._random.get_state())
        try:
            yield
        finally:
            self._random.set_state(np.random.get_state())
            np.random.set_state(outside)


def pyswarms_backend() -> Any:
    """The functions that a swarm of PySwarms is made of.

    Raises:
        SpecError: It is not installed.
    """
    # Else it takes over the root logger, and writes report.log, as soon as it is imported.
    os.environ.setdefault("LOG_CFG", str(PYSWARMS_LOGGING))
    try:
        from pyswarms import backend
    except ImportError as error:
        raise _missing("PySwarms") from error
    return backend


def _missing(package: str) -> SpecError:
    return SpecError(f"{package} is not installed: pip install 'llmpso[benchmark]'")


def drawn_by_optuna(space: SearchSpace, trial: Any) -> dict[str, Any]:
    """The configuration of a trial of Optuna's; what does not count in it is not drawn."""
    drawn: dict[str, Any] = {}
    for name in space.conditions.order:
        if space.conditions.counts(name, drawn):
            drawn[name] = _drawn(name, space[name], trial)
    return space.validate(drawn)


def _drawn(name: str, dimension: Dimension, trial: Any) -> Any:
    if isinstance(dimension, Categorical):
        if dimension.ordered:
            return dimension.choices[trial.suggest_int(name, 0, len(dimension.choices) - 1)]
        return trial.suggest_categorical(name, dimension.choices)
    is_whole = isinstance(dimension, Integer)
    suggest = trial.suggest_int if is_whole else trial.suggest_float
    return suggest(name, dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _indexed(dimension: Dimension, value: Any) -> Any:
    """A value as Optuna holds it: ordered choices by their index."""
    if isinstance(dimension, Categorical) and dimension.ordered:
        return dimension.choices.index(value)
    return value
