"""What the result of a study shows of itself: tables, figures, and one line."""

import builtins
import re
from dataclasses import replace

import numpy as np
import pytest

from llmpso import Categorical, Evaluation, Float, Integer, SearchSpace, minimize, report
from llmpso.errors import LLMPSOError, SpecError
from llmpso.study.result import StudyResult

HOSTILE = "</td><script>alert(1)</script>"
SPACE = SearchSpace(
    {
        "x": Float(-5.0, 5.0),
        HOSTILE: Categorical(("a", "<b>b</b>")),
        "momentum": Float(0.0, 1.0, when={HOSTILE: "a"}),
        "n": Integer(1, 8),
    }
)


def train(params) -> Evaluation:
    if params["n"] == 2:
        raise RuntimeError("there is a <i>hole</i>")
    for step in (1, 2, 3):
        report(step, params["x"] ** 2 + 1 / step)
    return Evaluation(params["x"] ** 2, {"depth": 1.0}, constraints={"width": (params["n"], 4)})


@pytest.fixture(scope="module")
def result() -> StudyResult:
    return minimize(train, SPACE, evaluations=24, method="pso", seed=1)


def test_a_frame_has_a_row_for_each_trial(result) -> None:
    frame = result.to_frame()
    assert list(frame["number"]) == list(frame.index) == list(range(24))
    assert {"params.x", f"params.{HOSTILE}", "constraints.width", "metrics.depth"} <= set(frame)
    assert set(frame["state"]) == {"complete", "failed", "infeasible"}
    assert frame.loc[result.best.number, "value"] == frame["value"].min() == result.best.value
    assert np.isnan(frame["value"][frame["state"] == "failed"]).all()
    assert frame["failure"].dropna().str.contains("exception: RuntimeError").all()
    without = frame["params.momentum"].isna()
    assert list(without) == ["momentum" not in trial.params for trial in result.trials]
    assert (frame["cost"] == 1.0).all()


def test_a_study_that_was_interrupted_before_its_first_trial_has_an_empty_frame(result) -> None:
    frame = replace(result, trials=()).to_frame()
    assert len(frame) == 0
    whole = result.to_frame()
    assert list(frame) == [name for name in whole if "." not in name]
    assert str(frame["started_at"].dt.tz) == "UTC"


@pytest.mark.parametrize("kind", ["best", "parallel", "importance", "slices", "curves"])
def test_each_plot_is_a_figure_with_its_names_escaped(result, kind) -> None:
    figure = getattr(result, f"plot_{kind}")()
    assert len(figure.data) > 0
    assert figure.layout.title.text
    if kind != "parallel":  # Plotly shows the names of its choices as they are
        assert "<script" not in figure.to_json()


def test_what_cannot_be_plotted_is_said_in_one_line(result) -> None:
    few = replace(result, trials=result.trials[:9])
    with pytest.raises(LLMPSOError, match="ten completed trials are needed"):
        few.plot_importance()
    silent = replace(result, trials=tuple(replace(t, milestones=()) for t in result.trials))
    with pytest.raises(LLMPSOError, match="no training called `report`"):
        silent.plot_curves()
    with pytest.raises(LLMPSOError, match="no trial was completed"):
        replace(result, trials=()).plot_best()
    with pytest.raises(LLMPSOError, match="the space of the study is not known"):
        replace(result, space=None).plot_best()


def test_a_missing_plotly_names_the_extra(result, monkeypatch) -> None:
    def absent(name, *rest, real=builtins.__import__):
        if name.startswith("plotly"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(SpecError, match=re.escape("needs plotly: pip install 'llmpso[plots]'")):
        result.plot_best()


def test_a_notebook_shows_the_best_trials_and_no_foreign_tag(result) -> None:
    shown = result._repr_html_()
    tags = {tag.partition(" ")[0] for tag in re.findall(r"</?([^<>]+)>", shown)}
    assert tags == {"style", "table", "tr", "th", "td", "div"}
    assert f"trial {result.best.number}" in shown
    assert "exception: " in shown
    assert shown.count("<tr>") == 7 + 11
    assert "none" in replace(result, trials=())._repr_html_()


def test_a_console_shows_one_line(result) -> None:
    states = [str(trial.state) for trial in result.trials]
    shown = repr(result)
    assert f"{states.count('complete')} complete" in shown
    assert f"best {result.best.value:.4g}>" in shown
    assert "none has a value" in repr(replace(result, trials=()))
