"""The charts of any study: how it came to its best, and what decided that."""

from collections.abc import Callable, Sequence

import numpy as np

from llmpso.improvements import improvements
from llmpso.pages.charts import Axis, Bars, Chart, Dots, Mark, Panel, Parallel, Path
from llmpso.pages.curves_chart import curves
from llmpso.pages.front_chart import front_chart
from llmpso.pages.importance import importances, ordered
from llmpso.pages.palette import BLUE, GREY, INK, LOOKS, Look
from llmpso.pages.trial_points import Points, axis, coordinate, label, one_line_of
from llmpso.space import Categorical, Dimension, Floats, SearchSpace
from llmpso.text import short
from llmpso.trial import Source, Trial, TrialState

Place = Callable[[Trial], tuple[float, float]]
"""The place of a trial in a panel."""

BELOW = -0.12
"""Where a line crosses the axis of a hyperparameter that does not count."""

MOST_SLICES, MOST_AXES, MOST_PATHS = 6, 8, 12
"""More panels, axes and particles than these cannot be distinguished."""


def study_charts(
    trials: Sequence[Trial], space: SearchSpace, metric: str, best: Trial | None = None
) -> list[Chart]:
    """Every chart that the trials are enough for; none without a completed trial.

    Args:
        trials: Those of one study.
        space: What was searched.
        metric: Name and unit of the value.
        best: The chosen one of several goals.
    """
    points = Points.of(trials, space, metric)
    if not points.trials:
        return []
    shares = importances(points)
    names = ordered(points, shares)
    charts = [
        convergence(trials, points),
        front_chart(points.trials, best),
        parallel(points, names),
        importance(shares),
        slices(points, names),
        curves(trials, points),
        trajectory(points, names),
        sources(points),
    ]
    return [chart for chart in charts if chart is not None]


def convergence(trials: Sequence[Trial], points: Points) -> Chart:
    """Every value in its order, by source, and the best so far."""
    numbers = [trial.number + 1 for trial in points.trials]
    best = Path(
        [*numbers, max(trial.number + 1 for trial in trials)],
        [*(lowest := np.minimum.accumulate(points.values).tolist()), lowest[-1]],
        "best so far",
        INK,
        is_step=True,
    )
    marks: list[Mark] = [best, *_by_source(points, lambda t: (t.number + 1, t.value or 0.0))]
    worst = float(points.values.max())
    marks += _without_value(trials, TrialState.FAILED, "failed", "cross", worst)
    marks += _without_value(trials, TrialState.PRUNED, "stopped early", "ring", worst)
    marks += _without_value(trials, TrialState.INFEASIBLE, "violates a limit", "square", worst)
    return Chart(
        "convergence",
        "How the best value was found",
        "Each point is a training; the line is the best so far; stars came from the language "
        "model.",
        (Panel(tuple(marks), Axis("training"), points.value_axis),),
    )


def _without_value(
    trials: Sequence[Trial], state: TrialState, name: str, symbol: str, height: float
) -> list[Mark]:
    """Those that ended in a state, in a row above all others."""
    numbers = [trial.number + 1 for trial in trials if trial.state is state]
    return [Dots(numbers, [height] * len(numbers), name, GREY, symbol)] if numbers else []


def parallel(points: Points, names: Sequence[str]) -> Chart:
    """Every configuration as a line over the most important hyperparameters."""
    names = names[:MOST_AXES]
    places = [list(points.space).index(name) for name in names]
    low, high = float(points.values.min()), float(points.values.max())
    heights = (points.values - low) / ((high - low) or 1.0)
    # The best are drawn last, above the others.
    order = np.argsort(-points.values, kind="stable")
    crossings = np.where(points.used, points.cube, BELOW)[:, places]
    lines = np.column_stack([crossings, heights])[order]
    value_ticks = ((0.0, short(low)), (1.0, short(high)))
    axes = [_cube_axis(name, points.space[name]) for name in names]
    bundle = Parallel(
        [*axes, Axis("value", ticks=value_ticks)],
        lines.tolist(),
        points.shades[order].tolist(),
    )
    return Chart(
        "parallel",
        "Which configurations were good",
        "Each line is a training, violet if it was good, yellow if not; in the browser, drag "
        "along an axis to select some of them.",
        (Panel((bundle,)),),
    )


def importance(shares: dict[str, float]) -> Chart | None:
    """Bars of the hyperparameters' shares; None if they are not known."""
    if not shares:
        return None
    bars = Bars([label(name) for name in shares], list(shares.values()), BLUE)
    return Chart(
        "importance",
        "Which hyperparameters decided",
        "How much worse a random forest predicts the ranks of the trainings once a "
        "hyperparameter is shuffled, as a share.",
        (Panel((bars,), Axis("share of all importance")),),
    )


def slices(points: Points, names: Sequence[str]) -> Chart:
    """The value against each single hyperparameter that counts in one of the trials."""
    counting = [name for name in names if points.with_values([name]).trials]
    panels = tuple(_slice(points, name) for name in counting[:MOST_SLICES])
    return Chart(
        "slices",
        "The value by each hyperparameter",
        "Each point is a training, seen along one hyperparameter, the most important first.",
        panels,
        n_columns=min(3, len(panels)),
    )


def _slice(points: Points, name: str) -> Panel:
    dimension = points.space[name]
    dots = _by_source(
        points.with_values([name]),
        lambda trial: (coordinate(dimension, trial.params[name]), trial.value or 0.0),
    )
    return Panel(tuple(dots), axis(name, dimension), points.value_axis)


def trajectory(points: Points, names: Sequence[str]) -> Chart | None:
    """The paths of the particles through the two most important dimensions; None in one."""
    plane = sorted(names, key=lambda name: bool(points.space[name].when))[:2]
    points = points.with_values(plane)
    if len(plane) < 2 or not points.trials:
        return None
    x, y = plane

    def place(trial: Trial) -> tuple[float, float]:
        return (
            coordinate(points.space[x], trial.params[x]),
            coordinate(points.space[y], trial.params[y]),
        )

    ways = _ways(points)[:MOST_PATHS]
    paths = [_way(list(map(place, way))) for way in ways]
    best = points.trials[int(points.values.argmin())]
    (best_x, best_y) = place(best)
    crown = Dots([best_x], [best_y], "best", INK, "ring", 18.0, [one_line_of(best)])
    return Chart(
        "trajectory",
        f"The swarm's path through {label(x)} and {label(y)}",
        "A line joins the trainings of one particle in their order; stars are the language "
        "model's points, the ring is the best.",
        (
            Panel(
                (*paths, *_by_source(points, place), crown),
                axis(x, points.space[x]),
                axis(y, points.space[y]),
            ),
        ),
    )


def sources(points: Points) -> Chart:
    """Trainings of each source, and how much they lowered the best value, over the study."""
    gains = _gains(points)
    met = list(dict.fromkeys(trial.source for trial in points.trials))
    numbers = [trial.number + 1 for trial in points.trials]
    gained = np.array([gains.get(trial.number, 0.0) for trial in points.trials])
    given, lowered = [], []
    for source in met:
        is_own = np.array([trial.source is source for trial in points.trials])
        given.append(_running(numbers, is_own, LOOKS[source]))
        lowered.append(_running(numbers, is_own * gained, LOOKS[source]))
    return Chart(
        "sources",
        "What each source contributed",
        "Left: trainings that a source was given. Right: by how much its trainings lowered the "
        "best value, added up. Dashed lines are the language model's.",
        (
            Panel(tuple(given), Axis("training"), Axis("trainings given")),
            Panel(tuple(lowered), Axis("training"), Axis(f"lowered {label(points.metric)}")),
        ),
        n_columns=2,
    )


def _running(numbers: Sequence[int], parts: Floats, look: Look) -> Path:
    """The sum of all parts up to each training."""
    sums = np.cumsum(parts).tolist()
    is_model = look.symbol == "star"
    return Path(numbers, sums, look.label, look.colour, dashed=is_model, is_step=True)


def _gains(points: Points) -> dict[int, float]:
    """By how much a trial lowered the best value, by its number."""
    lowered, best = {}, points.trials[0].value or 0.0
    for trial in improvements(points.trials):
        lowered[trial.number] = best - (trial.value or 0.0)
        best = trial.value or 0.0
    return lowered


def _by_source(points: Points, place: Place) -> list[Dots]:
    """One group of dots per source; the language model's are drawn last, on top."""
    groups: dict[Source, list[Trial]] = {}
    for trial in points.trials:
        groups.setdefault(trial.source, []).append(trial)
    order = sorted(groups, key=lambda source: LOOKS[source].symbol == "star")
    return [_dots(LOOKS[source], groups[source], place) for source in order]


def _dots(look: Look, trials: Sequence[Trial], place: Place) -> Dots:
    x, y = zip(*map(place, trials), strict=True)
    texts = [one_line_of(trial) for trial in trials]
    return Dots(x, y, look.label, look.colour, look.symbol, look.size, texts)


def _way(places: Sequence[tuple[float, float]]) -> Path:
    x, y = zip(*places, strict=True)
    return Path(x, y, "", GREY, 1.0, opacity=0.45)


def _ways(points: Points) -> list[list[Trial]]:
    """The trials of each particle that has more than one."""
    ways: dict[int, list[Trial]] = {}
    for trial in points.trials:
        ways.setdefault(trial.particle, []).append(trial)
    return [way for way in ways.values() if len(way) > 1]


def _cube_axis(name: str, dimension: Dimension) -> Axis:
    """An axis from 0 to 1 with the names of its choices, or of its ends and middle."""
    ticks = _cube_ticks(dimension)
    return Axis(label(name), ticks=((BELOW, "not used"), *ticks) if dimension.when else ticks)


def _cube_ticks(dimension: Dimension) -> tuple[tuple[float, str], ...]:
    if isinstance(dimension, Categorical):
        return tuple((dimension.encode(choice), label(choice)) for choice in dimension.choices)
    if dimension.low == dimension.high:
        return ((0.5, f"{dimension.low:.3g}"),)
    places = (dimension.decode(0.0), dimension.decode(0.5), dimension.decode(1.0))
    return tuple((dimension.encode(place), f"{place:.3g}") for place in places)  # type: ignore[arg-type]
