"""The curves of the trainings that reported."""

import math
from collections.abc import Sequence

from llmpso.pages.charts import Axis, Chart, Panel, Path
from llmpso.pages.palette import BLUE, GREY, INK
from llmpso.pages.trial_points import Points, values_axis
from llmpso.trial import Trial, TrialState

MOST_CURVES = 60
"""The best ones; more cannot be distinguished."""


def curves(trials: Sequence[Trial], points: Points) -> Chart | None:
    """What each training reported at its milestones; None if none reported twice."""
    drawn = sorted(filter(_is_curve, trials), key=_last_value)[:MOST_CURVES]
    if not drawn:
        return None
    best = min(points.trials, key=lambda trial: trial.value or 0.0, default=None)
    # The best is drawn last, above the others.
    lines = [_line(trial, is_best=trial is best) for trial in reversed(drawn)]
    lines.sort(key=lambda line: line.name == "best")
    values = [value for line in lines for value in line.y]
    return Chart(
        "curves",
        "How the trainings went",
        "Each line is what a training reported after its steps; dashed ones were stopped early.",
        (Panel(tuple(lines), Axis("step"), values_axis(f"reported {points.metric}", values)),),
    )


def _is_curve(trial: Trial) -> bool:
    return sum(math.isfinite(value) for _, value in trial.milestones) > 1


def _last_value(trial: Trial) -> float:
    return next(value for _, value in reversed(trial.milestones) if math.isfinite(value))


def _line(trial: Trial, *, is_best: bool) -> Path:
    steps, values = zip(*((s, v) for s, v in trial.milestones if math.isfinite(v)), strict=True)
    if is_best:
        return Path(steps, values, "best", INK)
    if trial.state is TrialState.PRUNED:
        return Path(steps, values, "stopped early", GREY, 1.0, dashed=True, opacity=0.7)
    return Path(steps, values, "others", BLUE, 1.0, opacity=0.6)
