"""Studies read from other tools, and written for them, as the commands do it."""

import json
import math
import re
from pathlib import Path

import mlflow
import pytest

from flows.command_line import USAGE_ERROR, joined_app, run
from flows.tune import tune
from llmpso.memory.csv_study import read_csv_study
from llmpso.memory.mapping import MappedStudy, mapped
from llmpso.memory.optuna_study import read_optuna_study
from llmpso.space import Categorical, Float, Integer, SearchSpace

optuna = pytest.importorskip("optuna", reason="pip install '.[optuna]'")

SPACE = SearchSpace({"x": Float(-5.0, 5.0), "n": Integer(1, 8)})
OPTIONS = {"advisor": "none", "workers": 1, "evaluations": 8}


def llmpso(*arguments: str) -> int:
    return run(joined_app(), arguments)


def imported() -> str:
    """The run of the study that was read from elsewhere."""
    (found,) = mlflow.search_runs(
        search_all_experiments=True, filter_string="tags.imported != ''", output_format="list"
    )
    return found.info.run_id


def test_a_study_begins_from_one_of_a_csv_file(
    prefect_server, mlflow_store, bowl, blank_pictures, capsys
) -> None:
    rows = [f"{x},{n},{(x - 1) ** 2 + n / 8}" for x in (-3.0, 0.0, 1.125) for n in (1, 5)]
    Path("bowls.csv").write_text("\n".join(["x,n,height", *rows, "4.5,1,", "1.0,9,1.1"]))
    assert llmpso("import", "bowls.csv", "--objective", bowl, "--value", "height") == 0
    out = capsys.readouterr().out
    assert "bowls: 8 trials (7 complete, 1 failed), best height (m): 0.1406" in out
    assert "note: 1 trial is outside this space" in out
    summary = tune(bowl, **OPTIONS)
    assert [study["name"] for study in summary.began_from] == ["bowls"]
    assert summary.starts[0]["value"] == 0.125**2 + 1 / 8


def test_a_study_of_ours_goes_to_optuna_and_comes_back(
    prefect_server, mlflow_store, bowl, blank_pictures, capsys
) -> None:
    ours = tune(bowl, **OPTIONS)
    storage = "sqlite:///optuna.db"
    assert llmpso("export", ours.run_id, storage, "--study-name", "bowl") == 0
    assert f"8 trials of {ours.study} written to {storage}" in capsys.readouterr().out
    theirs = optuna.load_study(study_name="bowl", storage=storage)
    assert theirs.best_value == ours.best_value
    assert theirs.best_params == ours.best_params
    theirs.optimize(
        lambda trial: (
            (trial.suggest_float("x", -5.0, 5.0) - 1) ** 2 + trial.suggest_int("n", 1, 8) / 8
        ),
        n_trials=3,
    )
    assert llmpso("import", storage) == 0
    run_id = imported()
    assert mlflow.get_run(run_id).data.tags["metric"] == "height (m)"
    assert llmpso("export", run_id, "back.csv") == 0
    back = read_csv_study(Path("back.csv"), SPACE).trials
    there = read_optuna_study(storage)[0].trials
    assert len(back) == 11
    assert [(dict(t.params), t.state) for t in back] == [(dict(t.params), t.state) for t in there]
    values = [trial.value for trial in back if math.isfinite(trial.value)]
    assert values == [trial.value for trial in there if math.isfinite(trial.value)]


def test_a_study_of_optuna_whose_hyperparameters_depend_on_a_choice_is_read(
    mlflow_store, capsys
) -> None:
    storage = "sqlite:///optuna.db"

    def error(trial) -> float:
        if trial.suggest_categorical("model", ["svm", "forest"]) == "svm":
            return trial.suggest_float("c", 1e-3, 1e3, log=True) / 1e3
        return 1 / trial.suggest_int("depth", 1, 8)

    sampler = optuna.samplers.RandomSampler(seed=0)
    theirs = optuna.create_study(storage=storage, study_name="theirs", sampler=sampler)
    theirs.optimize(error, n_trials=8)
    assert llmpso("import", storage, "--metric", "error") == 0
    out = capsys.readouterr().out
    assert "theirs: 8 trials (8 complete), best error" in out
    assert "outside this space" not in out
    assert llmpso("report", "--html", "theirs.html") == 0
    assert llmpso("show") == 0
    assert llmpso("export", imported(), "back.csv") == 0
    ours = SearchSpace(
        {
            "model": Categorical(["svm", "forest"]),
            "c": Float(1e-3, 1e3, log=True, when={"model": "svm"}),
            "depth": Integer(1, 8, when={"model": "forest"}),
        }
    )
    found = mapped(ours, read_optuna_study(storage)[0])
    assert isinstance(found, MappedStudy)
    assert len(found.trials) == 8


def test_a_study_of_two_objectives_is_read_shown_and_written(mlflow_store, capsys) -> None:
    storage = "sqlite:///optuna.db"
    theirs = optuna.create_study(
        storage=storage, study_name="theirs", directions=["minimize", "maximize"]
    )
    theirs.set_metric_names(["loss", "accuracy"])
    points = {"x": optuna.distributions.FloatDistribution(0.0, 4.0)}
    for x, values in enumerate([(1.0, 0.9), (0.5, 0.5), (2.0, 0.4), (0.6, 0.8)]):
        params = {"x": float(x)}
        theirs.add_trial(
            optuna.trial.create_trial(values=values, params=params, distributions=points)
        )
    assert llmpso("import", storage) == 0
    said = "theirs: 4 trials (4 complete), front of loss and accuracy: 3 trials"
    assert said in capsys.readouterr().out
    run_id = imported()
    assert mlflow.get_run(run_id).data.metrics["best_value"] == 0.6
    assert llmpso("show", run_id, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["metric"], shown["best"]) == ("loss", 3)
    assert [row["values.accuracy"] for row in shown["trials"]] == [-0.9, -0.5, -0.4, -0.8]
    assert llmpso("export", run_id, storage, "--study-name", "back") == 0
    back, there = (read_optuna_study(storage, name)[0] for name in ("back", "theirs"))
    assert (back.metric, back.trials) == (there.metric, there.trials)


def test_of_a_long_study_of_goals_the_chosen_one_and_the_front_come_first(
    mlflow_store, capsys
) -> None:
    storage, rest = "sqlite:///optuna.db", 36
    theirs = optuna.create_study(storage=storage, directions=["minimize", "minimize"])
    theirs.set_metric_names(["loss", "size"])
    front = [(5.0, 0.0), (0.0, 5.0), (1.0, 1.0)]
    for x, values in enumerate([*((n + 6.0, 9.0) for n in range(rest)), *front]):
        theirs.add_trial(
            optuna.trial.create_trial(
                values=values,
                params={"x": float(x)},
                distributions={"x": optuna.distributions.FloatDistribution(0.0, 99.0)},
            )
        )
    assert llmpso("import", storage) == 0
    capsys.readouterr()
    assert llmpso("show") == 0
    shown = capsys.readouterr().out
    assert f"the chosen one, the front, the next: 30 of {rest + 3}; --all shows all" in shown
    numbers = re.findall(r"^ +(\d+)  complete", shown, flags=re.MULTILINE)
    assert list(map(int, numbers)) == [rest + 2, rest + 1, rest, *range(27)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "none.csv", "--metric", "cost"], "add --objective or --space-file"),
        (["import", "none.csv", "--space-file", "space.yaml"], "'none.csv'"),
        (["import", "few.csv", "--space-file", "space.yaml"], "metric is missing"),
        (
            ["import", "few.csv", "--space-file", "space.yaml", "--metric", "m"],
            "2 of its 2 trials",
        ),
        (["import", "sqlite:///no.db", "--metric", "m"], "there is no file 'no.db'"),
        (["export", "0123", "x.csv"], "there is no study in 'sqlite:"),
        (["import", "few.csv", "--objectiv", "m"], "--objectiv"),
        (
            ["import", "few.csv", "--objective", "lstm", "--space", "layers"],
            "has none of the columns layers, hidden_units_1",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    mlflow_store, arguments, message, capsys
) -> None:
    Path("space.yaml").write_text("x: {type: float, low: -5, high: 5}\n")
    Path("few.csv").write_text("x,value\n1,2\n2,3\n")
    assert llmpso(*arguments) == USAGE_ERROR
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
