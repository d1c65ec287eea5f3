"""Trainings wasted above a limit, beside Optuna's constrained TPE: `python -m` this module.

The tables are those for development; the limit is on the number of units, which is taken as
measured: no method knows it before.
"""

import math
from collections.abc import Callable, Sequence
from statistics import mean

from llmpso.benchmark.lookup_table import searched
from llmpso.benchmark.rivals import drawn_by_optuna
from llmpso.benchmark.tables import DEVELOPMENT_TABLES, TableObjective
from llmpso.search.surrogate_assisted import SurrogateAssistedSearch
from llmpso.space import Params
from llmpso.trial import Evaluation, Trial

BUDGET, N_SEEDS, ALLOWED = 60, 10, 0.25
"""Trainings of a study, studies, and share of the configurations that are within the limit."""

Measured = tuple[float, float]
"""Value and number of units."""

Study = Callable[[TableObjective, float, int], list[Measured]]


def n_units(params: Params) -> float:
    """The product of all widths, which the number of weights grows with."""
    layers = params.get("hidden_layers", 1)
    widths = [value for name, value in params.items() if name.startswith("units")]
    return float(math.prod(widths)) ** int(layers)


def limit_of(table: TableObjective) -> float:
    """The number of units that a quarter of the configurations do not exceed."""
    found = sorted(map(n_units, table.space.configurations()))
    return found[int(ALLOWED * len(found))]


def guided(table: TableObjective, limit: float, seed: int) -> list[Measured]:
    """Our search."""
    measured = list[Measured]()

    def measure(trial: Trial) -> Trial:
        value, units = table.evaluate(trial.params).value, n_units(trial.params)
        measured.append((value, units))
        return trial.completed(Evaluation(value, constraints={"units": (units, limit)}), 0.0)

    searched(SurrogateAssistedSearch(table.space, seed=seed), measure, BUDGET)
    return measured


def constrained_tpe(table: TableObjective, limit: float, seed: int) -> list[Measured]:
    """Optuna's TPE with its constraints."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(
        seed=seed, constraints_func=lambda trial: [trial.user_attrs["excess"]]
    )
    study, measured = optuna.create_study(sampler=sampler), list[Measured]()
    while len(measured) < BUDGET:
        trial = study.ask()
        params = drawn_by_optuna(table.space, trial)
        measured.append((table.evaluate(params).value, n_units(params)))
        trial.set_user_attr("excess", measured[-1][1] - limit)
        study.tell(trial, measured[-1][0])
    return measured


def figures(table: TableObjective, study: Study) -> list[float]:
    """Share of trainings above the limit; regret of the best within it after 30 and 60.

    A regret of 0 is the best configuration within the limit, 1 the median of all within it.
    """
    limit = limit_of(table)
    allowed = [p for p in table.space.configurations() if n_units(p) <= limit]
    values = sorted(table.evaluate(params).value for params in allowed)
    best, middle = values[0], values[len(values) // 2]
    studies = [study(table, limit, seed) for seed in range(N_SEEDS)]
    rows = [
        [mean(units > limit for _, units in measured)]
        + [(_best(measured[:n], limit, values[-1]) - best) / (middle - best) for n in (30, BUDGET)]
        for measured in studies
    ]
    return [mean(column) for column in zip(*rows, strict=True)]


def _best(measured: Sequence[Measured], limit: float, worst: float) -> float:
    return min((value for value, units in measured if units <= limit), default=worst)


def main() -> None:
    """Print the figures of both methods on each table."""
    for name in DEVELOPMENT_TABLES:
        for study in (guided, constrained_tpe):
            wasted, after_30, after_60 = figures(TableObjective(name), study)
            shown = f"wasted {wasted:.2f}, regret {after_30:.3f} after 30, {after_60:.3f} after 60"
            print(f"{name} {study.__name__}: {shown}", flush=True)


if __name__ == "__main__":
    main()
