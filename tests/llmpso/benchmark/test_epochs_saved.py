"""The benchmark of racing: every epoch counts, for each method."""

from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from llmpso.benchmark.epochs_saved import race_table, run_races, study_table, write_races


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    with ThreadPoolExecutor(1) as one:
        return run_races(one, range(2), budget=10)


def test_the_same_seeds_with_racing_and_without(trials):
    assert len(trials) == 2 * 2 * 2 * 2 * 10
    full = trials[~trials["racing"]]
    assert set(full["state"]) == {"complete"}
    assert set(trials[trials["racing"]]["state"]) == {"complete", "pruned"}
    first = trials[(trials["iteration"] == 0) & (trials["scenario"] == "lstm")]
    by_racing = [side["learning_rate"].tolist() for _, side in first.groupby("racing")]
    assert by_racing[0] == by_racing[1]


def test_epochs_of_all_batches_up_to_the_target_are_counted():
    trials = pd.DataFrame(
        {
            "scenario": "cnn",
            "method": "pso",
            "racing": [False] * 4 + [True] * 4,
            "seed": 0,
            "iteration": [0, 0, 1, 1] * 2,
            "state": ["complete"] * 4 + ["pruned", "complete", "pruned", "pruned"],
            "value": [0.5, 0.02, 0.001, 0.3, None, 0.02, None, None],
            "epochs": [15.0] * 4 + [1.0, 15.0, 1.0, 2.0],
        }
    )
    table = race_table(study_table(trials)).set_index("measure")
    assert table.loc["epochs to near", ["off", "on"]].tolist() == [30, 16]
    # It was never reached with racing: the twin's whole cost is what it takes.
    assert table.loc["epochs to the target", ["off", "on"]].tolist() == [60, 60]
    assert table.loc["epochs to the target", "reached"] == "100%, 0%"
    assert table.loc["epochs in all", ["off", "on"]].tolist() == [60, 19]
    assert table.loc["best value", ["off", "on"]].tolist() == [0.001, 0.02]


def test_raw_trials_are_saved_beside_the_table(trials, tmp_path):
    report = write_races(trials, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "racing-trials.csv",
        "racing-studies.csv",
        "racing.csv",
        "racing.md",
    }
    kept = pd.read_csv(tmp_path / "racing-trials.csv")
    assert kept["epochs"].sum() == trials["epochs"].sum()
    assert report.figures["lstm.guided.in_all"] > 1
    assert report.headline in report.text
