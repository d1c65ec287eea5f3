"""The figures of a study, drawn from real trials."""

import base64
import io
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from llmpso import Categorical, Float, Integer, SearchSpace, Trial, minimize
from llmpso.pages.chart_files import draw
from llmpso.pages.charts import Chart, Dots, Parallel
from llmpso.pages.charts import Path as Line
from llmpso.pages.importance import importances
from llmpso.pages.model_charts import model_charts
from llmpso.pages.palette import LOOKS
from llmpso.pages.plotly_page import page
from llmpso.pages.study_charts import study_charts
from llmpso.pages.trial_points import Points
from llmpso.trial import Source

SPACE = SearchSpace(
    {
        "idle": Float(0.0, 1.0),
        "rate": Float(1e-4, 1e-1, log=True),
        "layers": Integer(1, 3),
        "kind": Categorical(("relu", "</script>")),
    }
)
METRIC = "error (%)"


def value(params) -> float:
    if params["layers"] == 3 and params["idle"] > 0.7:
        raise RuntimeError("out of luck")
    return 5 + (np.log10(params["rate"]) + 2.5) ** 2


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    """A study in which the third trial is the language model's."""
    results = minimize(value, SPACE, evaluations=40, method="pso", seed=3).trials
    return [replace(t, source=Source.ADVISOR) if t.number == 2 else t for t in results]


def named(charts: list[Chart], name: str) -> Chart:
    (found,) = (chart for chart in charts if chart.name == name)
    return found


def test_every_source_has_a_look_of_its_own() -> None:
    assert set(LOOKS) == set(Source)
    assert len({(look.colour, look.symbol) for look in LOOKS.values()}) >= len(LOOKS) - 2


def test_what_decides_the_value_is_found(trials) -> None:
    shares = importances(Points.of(trials, SPACE, METRIC))
    assert next(iter(shares)) == "rate"
    assert shares["rate"] > 0.8
    assert sum(shares.values()) == pytest.approx(1.0)


def test_few_trials_say_nothing_of_importance(trials) -> None:
    assert importances(Points.of(trials[:9], SPACE, METRIC)) == {}
    assert "importance" not in {chart.name for chart in study_charts(trials[:9], SPACE, METRIC)}


def test_the_convergence_marks_the_language_model_and_what_failed(trials) -> None:
    (panel,) = named(study_charts(trials, SPACE, METRIC), "convergence").panels
    dots = {mark.name: mark for mark in panel.marks if isinstance(mark, Dots)}
    assert dots["language model"].symbol == "star"
    assert list(dots["language model"].x) == [3]
    failed = [trial.number + 1 for trial in trials if trial.failure]
    assert len(failed) > 0
    assert list(dots["failed"].x) == failed
    (best,) = (mark for mark in panel.marks if isinstance(mark, Line))
    assert list(best.y) == sorted(best.y, reverse=True)
    assert best.y[-1] == min(trial.value for trial in trials if trial.value is not None)


def test_the_sources_share_all_that_was_gained(trials) -> None:
    given, lowered = named(study_charts(trials, SPACE, METRIC), "sources").panels
    completed = [trial for trial in trials if trial.value is not None]
    assert sum(path.y[-1] for path in given.marks) == len(completed)
    gained = completed[0].value - min(trial.value for trial in completed)
    assert sum(path.y[-1] for path in lowered.marks) == pytest.approx(gained)


def test_the_parallel_lines_end_at_their_value(trials) -> None:
    (panel,) = named(study_charts(trials, SPACE, METRIC), "parallel").panels
    (bundle,) = (mark for mark in panel.marks if isinstance(mark, Parallel))
    assert [axis.label for axis in bundle.axes][0] == "rate"
    assert bundle.lines[-1][-1] == bundle.shades[-1] == 0.0
    assert np.min(bundle.lines) >= 0
    assert np.max(bundle.lines) <= 1


def test_no_completed_trial_draws_nothing(tmp_path: Path, trials) -> None:
    failed = [trial for trial in trials if trial.failure]
    assert draw(study_charts(failed, SPACE, METRIC), tmp_path, "a", "b") == []
    assert list(tmp_path.iterdir()) == []


def test_one_trial_in_one_dimension_can_be_drawn(tmp_path: Path) -> None:
    space = SearchSpace({"x": Float(1.0, 10.0, log=True)})
    results = minimize(lambda params: params["x"], space, evaluations=1).trials
    files = draw(study_charts(results, space, "x"), tmp_path, "a", "b")
    assert {file.name for file in files} == {
        "convergence.png",
        "parallel.png",
        "slices.png",
        "sources.png",
        "study.html",
    }


def test_a_space_of_many_dimensions_stays_readable() -> None:
    space = SearchSpace({f"x{n}": Float(0.0, 1.0) for n in range(60)})
    results = minimize(lambda p: p["x7"] + p["x9"], space, evaluations=120, method="pso").trials
    charts = study_charts(results, space, "sum")
    assert len(named(charts, "slices").panels) == 6
    (bars,) = named(charts, "importance").panels[0].marks
    assert {"x7", "x9"} <= set(bars.names[:4])


def test_every_chart_becomes_a_picture_and_a_part_of_one_page(tmp_path: Path, trials) -> None:
    charts = study_charts(trials, SPACE, METRIC) + model_charts(records())
    files = draw(charts, tmp_path, "digits <1>", "forty trainings")
    assert [file.name for file in files] == [f"{c.name}.png" for c in charts] + ["study.html"]
    for file in files[:-1]:
        with Image.open(file) as image:
            assert image.width > 500
            assert len(image.getcolors(maxcolors=2**24)) > 20
    text = files[-1].read_text(encoding="utf-8")
    assert "digits &lt;1&gt;" in text
    assert 'src="http' not in text


def test_the_page_holds_every_trial_and_no_foreign_script(trials) -> None:
    text = page(study_charts(trials, SPACE, METRIC), "a", "b")
    (figures,) = re.findall(r"of (\[.*\])\)\n  Plotly.newPlot", text)
    assert "</script>" not in figures
    results = {name: traces for name, traces, _ in json.loads(figures)}
    completed = [trial for trial in trials if trial.value is not None]
    hovered = [text for trace in results["convergence"] for text in trace.get("text", ())]
    assert len(hovered) == len(completed)
    assert len(results["parallel"][0]["line"]["color"]) == len(completed)


def test_names_are_distinguished_from_numbers_on_an_axis(trials) -> None:
    counts = [[5, 1, 0], [0, 4, 0], [0, 0, 3]]
    numbered = {"confusion.json": {"classes": ["1", "2", "ten"], "test": counts}}
    text = page(study_charts(trials, SPACE, METRIC) + model_charts(numbered), "a", "b")
    (figures,) = re.findall(r"of (\[.*\])\)\n  Plotly.newPlot", text)
    layouts = {name: layout for name, _, layout in json.loads(figures)}
    shares = list(importances(Points.of(trials, SPACE, METRIC)))
    bars, table = layouts["importance"]["yaxis"], layouts["confusion"]["xaxis"]
    assert (bars["tickvals"], bars["ticktext"]) == (list(range(len(shares))), shares[::-1])
    # Left to itself Plotly takes such classes for numbers, and leaves out the third.
    assert (table["tickvals"], table["ticktext"]) == ([0, 1, 2], ["1", "2", "ten"])


def records() -> dict:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(buffer, "PNG")
    shown = {"true": "a", "predicted": "b", "png": base64.b64encode(buffer.getvalue()).decode()}
    return {
        "forecast.json": {
            "target": "AQI",
            "unit": "points",
            "horizon": 6,
            "times": [f"2024-01-{day:02d}" for day in range(1, 21)],
            "truth": list(range(20)),
            "forecast": list(range(1, 21)),
        },
        "confusion.json": {"classes": ["a", "b"], "test": [[5, 1], [0, 4]]},
        "mistakes.json": {"total": 1, "images": [shown]},
        "unknown.json": {},
    }


def test_records_make_the_charts_that_they_are_for() -> None:
    assert [chart.name for chart in model_charts(records())] == [
        "forecast",
        "confusion",
        "mistakes",
    ]
    assert model_charts({"mistakes.json": {"total": 0, "images": []}}) == []


def test_steps_fixed_values_none_and_lists_are_drawn(tmp_path: Path) -> None:
    space = SearchSpace(
        {
            "units": Integer(32, 256, step=32),
            "rate": Float(0.1, 0.5, step=0.1),
            "fixed": Float(0.1, 0.1, log=True),
            "sizes": Categorical([[64, 64], [128], None]),
        }
    )
    results = minimize(
        lambda params: params["units"] * params["rate"], space, evaluations=20
    ).trials
    charts = study_charts(results, space, METRIC)
    assert all(path.stat().st_size > 1000 for path in draw(charts, tmp_path, "title", "text"))
    axes = {panel.x.label: panel.x for panel in named(charts, "slices").panels}
    assert [text for _, text in axes["units"].ticks] == [str(n) for n in range(32, 257, 32)]
    assert [text for _, text in axes["rate"].ticks] == ["0.1", "0.2", "0.3", "0.4", "0.5"]
    assert [text for _, text in axes["fixed"].ticks] == ["0.1"]
    assert [text for _, text in axes["sizes"].ticks] == ["(64, 64)", "(128,)", "None"]


ODD = (
    "<!--<script>",
    "</script><b>bold",
    "$\\frac$",
    "a|b `c` [d](javascript:e)",
    "\u202e💥\u2028\n",
    "x" * 9_000 + "1",
    "x" * 9_000 + "2",
)


def test_odd_names_are_drawn_and_leave_the_page_whole(tmp_path: Path) -> None:
    space = SearchSpace({name: Categorical(ODD) for name in ODD[:5]} | {"x": Float(0.0, 1.0)})
    results = minimize(lambda params: params["x"], space, evaluations=24, method="pso").trials
    images = [
        {
            "true": ODD[0],
            "predicted": ODD[2],
            "png": records()["mistakes.json"]["images"][0]["png"],
        }
    ]
    models = {
        "confusion.json": {"classes": list(ODD), "test": np.eye(7, dtype=int).tolist()},
        "forecast.json": records()["forecast.json"] | {"target": ODD[0], "unit": ODD[2]},
        "mistakes.json": {"images": images, "total": 1},
    }
    charts = study_charts(results, space, ODD[2]) + model_charts(models)
    *pictures, html = draw(charts, tmp_path, ODD[0] + ODD[4], ODD[1])
    for file in pictures:
        with Image.open(file) as image:
            assert max(image.size) < 5_000
    text = html.read_text(encoding="utf-8").replace(_plotly(), "")
    assert text.count("<script>") == text.count("</script>") == 2
    assert "<!--" not in text
    assert "<b>" not in text
    assert "\u202e" not in text


def _plotly() -> str:
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def test_what_does_not_count_is_drawn_below_its_axis_or_left_out(tmp_path: Path) -> None:
    space = SearchSpace(
        {
            "momentum": Float(0.0, 0.99, when={"optimizer": "sgd"}),
            "optimizer": Categorical(["adam", "sgd"]),
            "layers": Integer(1, 3),
            "units": Integer(8, 64, when={"layers": ">= 2"}),
        }
    )

    def error(params) -> float:
        return params.get("momentum", 0.5) + params["layers"] / 10

    trials = minimize(error, space, evaluations=30, method="pso", seed=1).trials
    charts = study_charts(trials, space, METRIC)
    with_momentum = sum("momentum" in trial.params for trial in trials)
    assert 0 < with_momentum < len(trials)
    bundle = named(charts, "parallel").panels[0].marks[0]
    assert isinstance(bundle, Parallel)
    place = [axis.label for axis in bundle.axes].index("momentum")
    below = [line[place] for line in bundle.lines if line[place] < 0]
    assert len(below) == len(trials) - with_momentum
    assert (min(below), "not used") in bundle.axes[place].ticks
    slices = {panel.x.label: panel for panel in named(charts, "slices").panels}
    assert sum(len(dots.x) for dots in slices["momentum"].marks) == with_momentum
    assert "optimizer and layers" in named(charts, "trajectory").title.replace(
        "layers and optimizer", "optimizer and layers"
    )
    assert set(importances(Points.of(trials, space, METRIC))) <= set(space)
    *_, html = draw(charts, tmp_path, "title", "text")
    assert re.search(r'"range": ?\[-0\.12, ?1\]', html.read_text(encoding="utf-8"))


def test_a_name_that_counted_in_no_training_has_no_slice(tmp_path: Path) -> None:
    space = SearchSpace(
        {"optimizer": Categorical(["adam", "sgd"]), "rate": Float(0.0, 1.0)}
        | {"momentum": Float(0.0, 0.99, when={"optimizer": "sgd"})}
    )
    result = minimize(
        lambda params: params["rate"],
        space,
        evaluations=1,
        start=[{"optimizer": "adam", "rate": 0.5}],
    )
    charts = study_charts(result.trials, space, METRIC)
    assert [panel.x.label for panel in named(charts, "slices").panels] == ["optimizer", "rate"]
    assert draw(charts, tmp_path, "title", "text")
    assert len(result.plot_slices().data) == 2
