"""What the arms are tried on: suites of problems whose best value is known.

The report tables are for frozen designs: nothing may be chosen on them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from llmpso.benchmark.lookup_table import TOP_SHARE, Scale
from llmpso.benchmark.surfaces import SurfaceObjective
from llmpso.benchmark.tables import DEVELOPMENT_TABLES, REPORT_TABLES, TableObjective
from llmpso.errors import SpecError
from llmpso.objectives.analytic_functions import FUNCTIONS, AnalyticObjective
from llmpso.objectives.base import DescribedObjective
from llmpso.space import Params

if TYPE_CHECKING:
    from llmpso.benchmark.live_surface import LiveSurface

TABLE_DEFAULTS: Mapping[str, Params] = {
    # Keras's own defaults where it has one (Adam's learning rate 0.001, batches of 32, a constant
    # rate, ReLU as in all its guides), no dropout, and as many units as its first example.
    "hpolib": {
        "activation_layer_1": "relu",
        "activation_layer_2": "relu",
        "batch_size": 32,
        "dropout_layer_1": 0.0,
        "dropout_layer_2": 0.0,
        "initial_learning_rate": 0.001,
        "learning_rate_schedule": "const",
        "units_layer_1": 64,
        "units_layer_2": 64,
    },
    # Defaults of scikit-learn's MLPClassifier (one layer of 100 units, alpha 0.0001, batches of
    # min(200, n_samples), learning rate 0.001), each at its nearest place of the grid by ratio.
    "hpobench": {
        "l2_penalty": 3.5938137e-05,
        "batch_size": 161,
        "hidden_layers": 1,
        "initial_learning_rate": 0.0016681006,
        "units_per_layer": 101,
    },
}
"""A fixed default per family of tables, from the documentation of the library it trained with."""

N_DRAWN = 2_000
"""Random points by which the scale of a function is set."""


class Problem(Protocol):
    """A function to minimise whose best value is known to the benchmark."""

    @property
    def name(self) -> str:
        """Unique among all suites."""
        ...

    def objective(self, seed: int) -> DescribedObjective:
        """The objective of the study with this seed."""
        ...

    def scale(self, seed: int) -> Scale:
        """The scale of that objective."""
        ...

    def default(self, seed: int) -> Params:
        """Where a practitioner would start, without having seen a trial."""
        ...


@dataclass(frozen=True, slots=True)
class TableProblem:
    """A table; the seed is the search's alone."""

    name: str

    def objective(self, seed: int) -> TableObjective:
        """The table, the same for every seed."""
        return TableObjective(self.name)

    def scale(self, seed: int) -> Scale:
        """From all of the table."""
        return self.objective(seed).scale

    def default(self, seed: int) -> Params:
        """That of the table's family."""
        return TABLE_DEFAULTS[self.name.partition("/")[0]]


SURFACE_DEFAULTS: Mapping[str, Params] = {
    # Keras's own examples: "Timeseries forecasting for weather prediction" has one LSTM layer of
    # 32 units (the grid has 29), "Simple MNIST convnet" two convolutions, the first of 32 filters.
    "lstm": {"layers": 1, "hidden_units": 29},
    "cnn": {"layers": 2, "filters": 32},
}
"""A fixed default per surface, likewise."""


@dataclass(frozen=True, slots=True)
class SurfaceProblem:
    """A network of which all sizes were trained; the seed is the search's alone."""

    surface: str

    @property
    def name(self) -> str:
        """That of the surface."""
        return f"surface-{self.surface}"

    def objective(self, seed: int) -> SurfaceObjective:
        """The surface, the same for every seed."""
        return SurfaceObjective(self.surface)

    def scale(self, seed: int) -> Scale:
        """From all of the surface."""
        return self.objective(seed).scale

    def default(self, seed: int) -> Params:
        """That of the surface's library."""
        return SURFACE_DEFAULTS[self.surface]


@dataclass(frozen=True, slots=True)
class LiveProblem:
    """The networks of a surface trained in earnest, with seeds that the surface has not seen.

    The target is the surface's, and was there before.
    """

    surface: str
    csv: str | None = None
    """The file that the LSTM's surface was trained on."""

    @property
    def name(self) -> str:
        """That of the surface, and that it is trained."""
        return f"live-{self.surface}"

    def objective(self, seed: int) -> "LiveSurface":
        """The trainings of the study with this seed."""
        # Torch takes seconds, which the processes of other problems are spared.
        from llmpso.benchmark.live_surface import LiveSurface

        return LiveSurface(self.surface, seed, self.csv)

    def scale(self, seed: int) -> Scale:
        """That of the surface."""
        return SurfaceProblem(self.surface).scale(seed)

    def default(self, seed: int) -> Params:
        """That of the surface."""
        return SURFACE_DEFAULTS[self.surface]


@dataclass(frozen=True, slots=True)
class FunctionProblem:
    """An analytic function; each seed shifts and turns it otherwise, unless it is plain."""

    function: str
    n_dims: int
    plain: bool = False

    @property
    def name(self) -> str:
        """For people; the objective's own name, which a model may see, reveals nothing."""
        return f"{'plain-' if self.plain else ''}{self.function}-{self.n_dims}"

    def objective(self, seed: int) -> AnalyticObjective:
        """The function, shifted and turned by the seed."""
        return AnalyticObjective(self.function, self.n_dims, seed=seed, plain=self.plain)

    def scale(self, seed: int) -> Scale:
        """From random points; the minimum of every function is 0."""
        objective, rng = self.objective(seed), np.random.default_rng([seed, N_DRAWN])
        space = objective.space
        drawn = [space.decode(rng.random(len(space))) for _ in range(N_DRAWN)]
        values = [objective.evaluate(params).value for params in drawn]
        return Scale(0.0, float(np.median(values)), float(np.quantile(values, TOP_SHARE)))

    def default(self, seed: int) -> dict[str, Any]:
        """The middle of every range."""
        space = self.objective(seed).space
        return space.decode(np.full(len(space), 0.5))


DIMENSIONS = (2, 5, 10)

PAPER_DIMENSIONS = (2, 4, 6, 8, 10)

SUITES: Mapping[str, tuple[Problem, ...]] = {
    "tables-dev": tuple(map(TableProblem, DEVELOPMENT_TABLES)),
    "tables-report": tuple(map(TableProblem, REPORT_TABLES)),
    "functions": tuple(FunctionProblem(name, n) for name in FUNCTIONS for n in DIMENSIONS),
    # Only to show what knowing the name is worth: every model knows where this optimum is.
    "plain-rastrigin": tuple(FunctionProblem("rastrigin", n, plain=True) for n in DIMENSIONS),
    "paper": (
        *(FunctionProblem("rastrigin", n) for n in PAPER_DIMENSIONS),
        SurfaceProblem("lstm"),
        SurfaceProblem("cnn"),
    ),
    "live": (LiveProblem("lstm"), LiveProblem("cnn")),
}
"""All problems by suite."""


def suite(name: str, only: Collection[str] = ()) -> tuple[Problem, ...]:
    """The problems of a suite, or only those that are named.

    Raises:
        SpecError: There is no such suite, or no such problem in it.
    """
    if name not in SUITES:
        raise SpecError(f"suite is {name!r}; it must be one of: {', '.join(SUITES)}")
    problems = {problem.name: problem for problem in SUITES[name]}
    for wanted in only:
        if wanted not in problems:
            raise SpecError(f"problem {wanted!r} is not in {name}; it has: {', '.join(problems)}")
    return tuple(problem for problem in problems.values() if not only or problem.name in only)
