"""Studies of functions that no module has: of a notebook's cell, of a script, of a closure."""

import asyncio
import types

import mlflow
import pytest

from flows.notebook import load_study, tune
from llmpso import Float, Integer, SearchSpace
from llmpso.errors import DataError, LLMPSOError, SpaceError, SpecError
from tasks.store.experiment import STUDY_TAG

SPACE = SearchSpace({"x": Float(-5.0, 5.0), "n": Integer(1, 8)})
OPTIONS = {"advisor": "none", "workers": 1, "evaluations": 6}
CELL = '''
def train(params, seed):
    """A bowl."""
    if params["n"] == 7:
        raise RuntimeError("there is a hole")
    return (params["x"] - 1) ** 2 + params["n"] / 8
'''


@pytest.fixture
def train(monkeypatch):
    """A function as a notebook has it: of a module `__main__` without a file."""
    cell = types.ModuleType("__main__")
    monkeypatch.setitem(__import__("sys").modules, "__main__", cell)
    exec(CELL, cell.__dict__)  # noqa: S102 - our own cell
    return cell.train


def test_a_function_of_a_cell_is_tuned_and_recorded(
    prefect_server, mlflow_store, blank_pictures, train, caplog
) -> None:
    async def cell():
        """A notebook runs its cells within an event loop."""
        return tune(train, SPACE, constraint="n <= 6", **OPTIONS)

    summary = asyncio.run(cell())
    assert (summary.objective, summary.description) == ("train", "A bowl.")
    assert summary.evaluations == 6
    assert "so this study cannot be resumed" in caplog.text
    run = mlflow.get_run(summary.run_id)
    assert run.data.params["objective"] == "notebook:train"
    assert run.info.status == "FINISHED"
    shown = summary._repr_html_()
    assert f"trial {summary.best_number}" in shown
    assert "mlflow ui --backend-store-uri" in shown

    result = load_study("train")
    assert result.best.value == summary.best_value
    assert len(result.to_frame()) == 6
    assert all(trial.params["n"] <= 6 for trial in result.trials)
    # Without a file, nothing says whether the function is the same.
    again = tune(train, SPACE, constraint="n <= 6", **OPTIONS)
    assert again.reused == 0
    assert run.data.tags[STUDY_TAG] != mlflow.get_run(again.run_id).data.tags[STUDY_TAG]


def test_a_closure_is_tuned_too(prefect_server, mlflow_store, blank_pictures) -> None:
    centre = 2.0
    summary = tune(lambda params: (params["x"] - centre) ** 2, SPACE, **OPTIONS)
    assert summary.objective == "notebook-function"


def test_what_ends_a_study_is_raised(prefect_server, mlflow_store, blank_pictures) -> None:
    def broken(params):
        raise RuntimeError("out of luck")

    failed = "trials failed: exception: RuntimeError: out of luck.*; --fresh tries again"
    with pytest.raises(LLMPSOError, match=failed):
        tune(broken, SPACE, **OPTIONS)


def test_what_a_notebook_cannot_do_is_one_line(mlflow_store, train) -> None:
    with pytest.raises(SpecError, match="runner is 'process', but the function is in"):
        tune(train, SPACE, runner="process", **OPTIONS)
    with pytest.raises(SpecError, match="there is no option 'evaluation'; did you mean"):
        tune(train, SPACE, evaluation=3)
    with pytest.raises(SpecError, match="cannot be called with params"):
        tune(lambda: 1.0, SPACE, **OPTIONS)
    with pytest.raises(SpaceError, match="space is of type dict; it must be a SearchSpace"):
        tune(train, dict(SPACE), **OPTIONS)
    with pytest.raises(DataError, match="there is no study in"):
        load_study("train")
