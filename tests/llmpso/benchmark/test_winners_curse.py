"""The benchmark of the choice among noisy trainings."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from flows.benchmarks.plan import BenchmarkOptions
from flows.benchmarks.repeats_suite import repeats_tables
from llmpso.benchmark import winners_curse
from llmpso.benchmark.tables import single_trainings
from llmpso.benchmark.winners_curse import NoisyTable, run_choices, write_choices
from llmpso.errors import SpecError

NAME = "hpobench/vehicle"


def test_the_value_of_a_table_is_the_mean_of_its_trainings() -> None:
    problem = NoisyTable(NAME)
    assert single_trainings(NAME).shape[-1] == 5
    assert problem.regret(problem.best) == 0.0
    assert problem.best == pytest.approx(problem.table.best)


def test_a_search_is_run_once_and_its_choices_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winners_curse, "COUNTED", (12,))
    monkeypatch.setattr(winners_curse, "N_REPEATS", (2,))
    monkeypatch.setattr(winners_curse, "N_DRAWS", 2)

    def run() -> pd.DataFrame:
        with ThreadPoolExecutor(1) as executor:
            return run_choices(executor, [NAME], range(2), tmp_path / "searches")

    rows = run()
    monkeypatch.setattr(winners_curse, "searched", None)
    pd.testing.assert_frame_equal(run(), rows)
    assert len(rows) == 6
    report = write_choices(rows, tmp_path)
    assert set(report.figures) == {"12.lowest", "12.posterior", "12.2 repeats"}
    assert NAME in (tmp_path / "repeats.md").read_text()


def test_a_table_that_is_not_there_is_refused() -> None:
    with pytest.raises(SpecError, match="problems names 'mice'"):
        repeats_tables(BenchmarkOptions(suite="repeats", problems="mice"))
