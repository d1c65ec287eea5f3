"""The chart of several goals: what each trial has of them, and which trials no other dominates."""

from collections.abc import Sequence

from llmpso.goals import Goals
from llmpso.pages.charts import Axis, Chart, Dots, Mark, Panel, Path
from llmpso.pages.palette import BLUE, GREY, INK
from llmpso.pages.trial_points import WIDE_RATIO, label, log_ticks, one_line_of
from llmpso.trial import Trial


def front_chart(trials: Sequence[Trial], best: Trial | None = None) -> Chart | None:
    """The first goal against each other one; None if there is no other.

    Args:
        trials: Complete ones.
        best: The chosen one; it gets a ring.
    """
    if not trials[0].goals:
        return None
    first, *others = trials[0].goals
    front = Goals(trials[0].goals).front(trials)
    return Chart(
        "front",
        "Which trade-offs there are",
        "Each point is a training; those in blue are not dominated by any other: who wants less "
        "of one goal pays with more of another. The ring is the chosen one.",
        tuple(_panel(trials, front, best, first, other) for other in others),
        n_columns=len(others),
    )


def _panel(
    trials: Sequence[Trial], front: Sequence[Trial], best: Trial | None, x: str, y: str
) -> Panel:
    behind = [trial for trial in trials if trial not in front]
    marks: list[Mark] = [_dots(behind, "dominated", GREY, x, y)] if behind else []
    if len(trials[0].goals) == 2:
        marks.append(Path(_of(front, x), _of(front, y), "", BLUE, 1.0, is_step=True, opacity=0.6))
    marks += [_dots(front, "front", BLUE, x, y), *_ring(best, x, y)]
    return Panel(tuple(marks), _axis(trials, x), _axis(trials, y))


def _dots(trials: Sequence[Trial], name: str, colour: str, x: str, y: str) -> Dots:
    texts = [one_line_of(trial) for trial in trials]
    return Dots(_of(trials, x), _of(trials, y), name, colour, texts=texts)


def _of(trials: Sequence[Trial], goal: str) -> list[float]:
    return [trial.values[goal] for trial in trials]


def _ring(best: Trial | None, x: str, y: str) -> list[Dots]:
    if best is None or not best.values:
        return []
    at_x, at_y, text = [best.values[x]], [best.values[y]], [one_line_of(best)]
    return [Dots(at_x, at_y, "chosen", INK, "ring", 18.0, text)]


def _axis(trials: Sequence[Trial], goal: str) -> Axis:
    values = _of(trials, goal)
    low, high = min(values), max(values)
    if low <= 0 or high / low <= WIDE_RATIO:
        return Axis(label(goal))
    return Axis(label(goal), log=True, ticks=log_ticks(low, high))
