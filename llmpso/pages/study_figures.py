"""Single figures of a study for a notebook, by Plotly; those of a page are `study_charts`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llmpso.errors import LLMPSOError
from llmpso.pages.charts import Chart
from llmpso.pages.curves_chart import curves
from llmpso.pages.front_chart import front_chart
from llmpso.pages.importance import importances, ordered
from llmpso.pages.plotly_figure import figure
from llmpso.pages.study_charts import convergence, importance, parallel, slices
from llmpso.pages.trial_points import Points
from llmpso.space import SearchSpace
from llmpso.trial import Trial

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Draw = Callable[[Sequence[Trial], Points], Chart | None]

DRAWN: dict[str, tuple[Draw, str]] = {
    "best": (convergence, ""),
    "parallel": (lambda _, points: parallel(points, _names(points)), ""),
    "importance": (
        lambda _, points: importance(importances(points)),
        "ten completed trials are needed, in which the hyperparameters made a difference",
    ),
    "slices": (lambda _, points: slices(points, _names(points)), ""),
    "front": (lambda _, points: front_chart(points.trials), "the study has one goal"),
    "curves": (curves, "no training called `report` at two steps"),
}
"""How each figure is drawn, and why there may be none."""


def study_figure(
    kind: str, trials: Sequence[Trial], space: SearchSpace, metric: str = "value"
) -> "Figure":
    """One of the figures in `DRAWN`.

    Raises:
        LLMPSOError: There is nothing to draw.
        SpecError: Plotly is not installed.
    """
    points = Points.of(trials, space, metric)
    if not points.trials:
        raise LLMPSOError("there is nothing to plot: no trial was completed")
    draw, needed = DRAWN[kind]
    chart = draw(trials, points)
    if chart is None:
        raise LLMPSOError(f"there is nothing to plot: {needed}")
    return figure(chart)


def _names(points: Points) -> list[str]:
    return ordered(points, importances(points))
