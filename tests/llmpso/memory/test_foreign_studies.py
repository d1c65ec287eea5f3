"""Studies of other tools: from CSV files and from the real Optuna, and back."""

import math
from pathlib import Path

import pytest

from llmpso.errors import DataError, SpecError
from llmpso.memory.csv_study import read_csv_study, write_csv_study
from llmpso.memory.finished import past_trials, trials_of
from llmpso.memory.mapping import MappedStudy, mapped
from llmpso.memory.optuna_study import read_optuna_study, write_optuna_study
from llmpso.memory.past_study import PastState, PastTrial
from llmpso.space import Categorical, Float, Integer, Ordinal, SearchSpace

optuna = pytest.importorskip("optuna", reason="pip install '.[optuna]'")

SPACE = SearchSpace(
    {
        "rate": Float(1e-4, 1.0, log=True),
        "share": Float(0.0, 1.0, step=0.25),
        "units": Integer(8, 64, step=8),
        "width": Integer(1, 512, log=True),
        "kind": Categorical(("adam", None, True, 3)),
        "layers": Categorical(((64, 64), (128,))),
        "value": Integer(0, 9),
        "batch": Ordinal((16, 32, 64)),
        "decay": Float(0.0, 1.0, when={"width": ">= 4"}),
    }
)


def params(n: int) -> dict:
    return {
        "rate": 10.0 ** -(0.1 + n / 3),
        "share": 0.25 * (n % 5),
        "units": 8 * (1 + n),
        "width": 2**n,
        "kind": ("adam", None, True, 3)[n % 4],
        "layers": ((64, 64), (128,))[n % 2],
        "value": n,
        "batch": (16, 32, 64)[n % 3],
    } | ({"decay": n / 9} if n >= 2 else {})


TRIALS = (
    PastTrial(params=params(0), value=0.1 + 0.2, rungs=((0.25, 3.0), (0.5, 2.0))),
    PastTrial(params=params(1), value=5.0),
    PastTrial(params=params(2), value=4.0),
    PastTrial(
        params=params(3), value=2.5, state=PastState.PRUNED, fidelity=0.25, rungs=((0.25, 2.5),)
    ),
    PastTrial(params=params(4), state=PastState.FAILED),
    PastTrial(params=params(5), value=1.0, state=PastState.INFEASIBLE),
)


def seen(trials, space=SPACE) -> list[tuple]:
    return [
        (
            {name: str(value) for name, value in trial.params.items()},
            str(trial.state),
            None if math.isnan(trial.value) else trial.value,
            trial.fidelity,
        )
        for trial in trials
    ]


def test_a_study_comes_back_from_a_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    write_csv_study(path, list(SPACE), TRIALS)
    back = read_csv_study(path, SPACE)
    assert seen(back.trials) == seen(TRIALS)
    assert [dict(trial.params) for trial in back.trials] == [dict(t.params) for t in TRIALS]
    with pytest.raises(DataError, match="is there already"):
        write_csv_study(path, list(SPACE), TRIALS)


def test_hyperparameters_called_as_a_column_of_the_file_come_back(tmp_path: Path) -> None:
    space = SearchSpace({"number": Integer(0, 99), "fidelity": Float(0.0, 9.0)})
    trials = [PastTrial(params={"number": 50 + n, "fidelity": n / 2}, value=n) for n in range(4)]
    path = tmp_path / "study.csv"
    write_csv_study(path, list(space), trials)
    back = read_csv_study(path, space).trials
    assert [dict(trial.params) for trial in back] == [dict(trial.params) for trial in trials]
    assert {trial.fidelity for trial in back} == {1.0}


def test_a_hyperparameter_of_a_file_may_be_called_state_or_fidelity(tmp_path: Path) -> None:
    space = SearchSpace({"state": Categorical(["dry", "wet"]), "fidelity": Float(0.0, 9.0)})
    path = tmp_path / "sound.csv"
    path.write_text("state,fidelity,value\ndry,2.5,1\nwet,7,2\n")
    trials = read_csv_study(path, space).trials
    assert [dict(t.params) for t in trials] == [
        {"state": "dry", "fidelity": 2.5},
        {"state": "wet", "fidelity": 7.0},
    ]
    assert [(t.state, t.fidelity) for t in trials] == [(PastState.COMPLETE, 1.0)] * 2


def test_a_study_comes_back_from_optuna(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/optuna.db"
    write_optuna_study(storage, "ours", "cost (s)", SPACE, TRIALS)
    back, space = read_optuna_study(storage)
    assert (back.name, back.metric) == ("ours", "cost (s)")
    assert seen(back.trials) == seen(TRIALS)
    assert back.trials[0].rungs == TRIALS[0].rungs
    assert back.trials[3].rungs == TRIALS[3].rungs
    # Optuna has no lists, no order of choices, and no conditions in a distribution.
    ours = [name for name in SPACE if name not in ("layers", "batch", "decay")]
    assert [space[name] for name in ours] == [SPACE[name] for name in ours]
    assert isinstance(mapped(SPACE, back), MappedStudy)
    with pytest.raises(DataError, match="has a study 'ours' already; name another"):
        write_optuna_study(storage, "ours", "cost (s)", SPACE, TRIALS)


def test_a_study_that_optuna_ran_is_read_with_its_space_and_its_sign(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/optuna.db"

    def accuracy(trial) -> float:
        rate = trial.suggest_float("rate", 1e-3, 1.0, log=True)
        units = trial.suggest_int("units", 8, 64, step=8)
        for step in range(4):
            trial.report(rate * step / 3, step)
        if trial.number == 2:
            raise optuna.TrialPruned
        if trial.number == 3:
            raise ValueError("broken")
        return rate + units / 1_000

    study = optuna.create_study(storage=storage, direction="maximize", study_name="theirs")
    study.optimize(accuracy, n_trials=8, catch=ValueError)
    back, space = read_optuna_study(storage, "theirs")
    assert dict(space) == {
        "rate": Float(1e-3, 1.0, log=True),
        "units": Integer(8, 64, step=8),
    }
    assert back.best is not None
    assert back.best.value == -study.best_value
    assert dict(back.best.params) == study.best_params
    assert back.trials[2].state is PastState.PRUNED
    assert back.trials[3].state is PastState.FAILED
    assert back.ended is not None
    table = tmp_path / "trials.csv"
    study.trials_dataframe().to_csv(table)
    same = read_csv_study(table, space, maximize=True)
    assert same.best is not None
    assert same.best.value == back.best.value
    assert dict(same.best.params) == dict(back.best.params)


def test_what_is_no_study_of_optuna_is_refused_in_one_line(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/optuna.db"
    with pytest.raises(DataError, match="there is no file"):
        read_optuna_study(storage)
    assert not (tmp_path / "optuna.db").exists()
    optuna.create_study(storage=storage, study_name="many", directions=["minimize"] * 4)
    with pytest.raises(DataError, match="'many' has 4 objectives; one, two or three can be read"):
        read_optuna_study(storage)
    with pytest.raises(DataError, match="no study 'one'; .* holds: 'many'"):
        read_optuna_study(storage, "one")
    twice = optuna.create_study(storage=storage, study_name="2", directions=["minimize"] * 2)
    twice.set_metric_names(["loss", "loss"])
    with pytest.raises(SpecError, match=r"goals is \['loss', 'loss'\]; each may be named once"):
        read_optuna_study(storage, "2")
    optuna.create_study(storage=storage, study_name="empty")
    with pytest.raises(DataError, match="--study-name is missing; .* holds: '2', 'empty', 'many'"):
        read_optuna_study(storage)
    with pytest.raises(DataError, match="no finished trial"):
        read_optuna_study(storage, "empty")
    with pytest.raises(DataError, match="is no usable storage"):
        read_optuna_study("nonsense://user:secret@host/x", "empty")
    (tmp_path / "text.db").write_text("no database at all, but a text of some length" * 50)
    with pytest.raises(DataError, match="is no usable storage"):
        read_optuna_study(f"sqlite:///{tmp_path}/text.db", "empty")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,cost\n1,2\n", "has no column 'value'; name that of the value with --value"),
        ("x,value\n1,2\n", "has none of the columns rate, share"),
        ("rate,value\n0.1,fast\n", "line 2: 'fast' is no number"),
        ("rate,value,state\n0.1,1,odd\n", "line 2: state is 'odd'; it must be one of: complete"),
        ("rate,value,fidelity\n0.1,1,2\n", "line 2: fidelity is '2'; it must be above 0"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path, text, message) -> None:
    (tmp_path / "study.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_csv_study(tmp_path / "study.csv", SPACE)


def test_a_file_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    text = "Lauf;rate;kind;Fehler\n1;0,01;adam;0,5\n2;0,02;None;0,25\n3;0,03;adam;\n"
    (tmp_path / "study.csv").write_bytes(text.encode("utf-16"))
    past = read_csv_study(tmp_path / "study.csv", SPACE, "Fehler")
    assert [dict(trial.params) for trial in past.trials] == [
        {"rate": 0.01, "kind": "adam"},
        {"rate": 0.02, "kind": None},
        {"rate": 0.03, "kind": "adam"},
    ]
    assert [trial.state for trial in past.trials] == ["complete", "complete", "failed"]


def test_several_goals_are_written(tmp_path: Path) -> None:
    values = [{"error": 0.5, "size": 2.0}, {}]
    states = [PastState.COMPLETE, PastState.FAILED]
    trials = [
        PastTrial(
            params=TRIALS[0].params, value=one.get("error", math.nan), values=one, state=state
        )
        for one, state in zip(values, states, strict=True)
    ]
    write_csv_study(tmp_path / "goals.csv", list(SPACE), trials)
    head, first, _ = (tmp_path / "goals.csv").read_text().splitlines()
    assert head.startswith("number,state,value,fidelity,values_error,values_size,")
    assert first.startswith("0,complete,0.5,1.0,0.5,2.0,")
    assert read_csv_study(tmp_path / "goals.csv", SPACE).best.value == 0.5
    storage = f"sqlite:///{tmp_path / 'goals.db'}"
    write_optuna_study(storage, "ours", "cost", SPACE, trials)
    study = optuna.load_study(study_name="ours", storage=storage)
    assert (study.metric_names, [t.values for t in study.trials]) == (
        ["error", "size"],
        [[0.5, 2.0], None],
    )


def test_several_goals_come_back_from_optuna(tmp_path: Path) -> None:
    """Export, then import, gives the trials that there were, however they ended."""
    space = SearchSpace({"x": Float(0.0, 9.0)})
    trials = tuple(
        PastTrial(params={"x": float(n)}, value=error, values=values, state=state)
        for n, (error, values, state) in enumerate(
            (
                (0.5, {"error": 0.5, "size": 2.0}, PastState.COMPLETE),
                (0.1 + 0.2, {"error": 0.1 + 0.2, "size": -1e300}, PastState.COMPLETE),
                (0.25, {"error": 0.25, "size": 8.0}, PastState.INFEASIBLE),
                (math.nan, {}, PastState.INFEASIBLE),
                (math.nan, {}, PastState.FAILED),
                (math.nan, {}, PastState.PRUNED),
            )
        )
    )
    storage = f"sqlite:///{tmp_path}/goals.db"
    write_optuna_study(storage, "ours", "value of train", space, trials)
    back, found = read_optuna_study(storage)
    assert (back.metric, dict(found)) == ("value of train", dict(space))
    assert repr(back.trials) == repr(trials)
    write_optuna_study(storage, "again", back.metric, found, past_trials(trials_of(back.trials)))
    assert repr(read_optuna_study(storage, "again")[0].trials) == repr(trials)


@pytest.mark.parametrize(
    ("names", "goals"), [(["loss", "accuracy"], ["loss", "accuracy"]), ([], ["goal_0", "goal_1"])]
)
def test_goals_that_optuna_maximised_are_lowered(tmp_path: Path, names, goals) -> None:
    storage = f"sqlite:///{tmp_path}/optuna.db"

    def measure(trial) -> tuple[float, float]:
        x = trial.suggest_float("x", 0.0, 1.0)
        if trial.number == 1:
            raise optuna.TrialPruned
        if trial.number == 2:
            raise ValueError("broken")
        if trial.number == 3:
            return math.inf, 1.0
        trial.set_user_attr("size", x - 2 * (trial.number == 4))
        return x, 1 - x**2

    sampler = optuna.samplers.NSGAIISampler(
        seed=0, constraints_func=lambda trial: [-trial.user_attrs.get("size", 1.0)]
    )
    study = optuna.create_study(
        storage=storage, sampler=sampler, directions=["minimize", "maximize"]
    )
    if names:
        study.set_metric_names(names)
    study.optimize(measure, n_trials=6, catch=ValueError)
    back, _ = read_optuna_study(storage)
    assert back.metric == (names[0] if names else "")
    assert [str(trial.state) for trial in back.trials] == [
        "complete", "pruned", "failed", "failed", "infeasible", "complete"
    ]  # fmt: skip
    for ours, theirs in zip(back.trials, study.trials, strict=True):
        if theirs.number in (0, 4, 5):
            loss, accuracy = theirs.values
            assert (ours.value, dict(ours.values)) == (loss, {goals[0]: loss, goals[1]: -accuracy})
        else:
            assert (math.isnan(ours.value), dict(ours.values)) == (True, {})
