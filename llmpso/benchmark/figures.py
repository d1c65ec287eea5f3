"""The two figures of a benchmark, readable without colour vision and in print."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from llmpso.benchmark.statistics import bootstrap_interval
from llmpso.errors import DataError
from llmpso.space import Floats

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
"""Okabe and Ito, Color Universal Design, 2008; yellow, too faint on white, is an ochre."""

LINES = ("-", "--", ":", "-.")
"""Change after each round of the colours."""

N_RESAMPLES = 1_000


def draw_regret(traces: Mapping[str, Floats], path: Path) -> None:
    """Mean normalised regret of the incumbent over evaluations, with 95% bands.

    Args:
        traces: By arm, best first: regret, shape (n_studies, budget).
        path: Where the PNG goes.
    """
    figure, axes = _canvas(9.0, 5.2)
    for index, (arm, regret) in enumerate(traces.items()):
        colour, line = COLOURS[index % len(COLOURS)], LINES[index // len(COLOURS) % len(LINES)]
        at = np.arange(1, regret.shape[1] + 1)
        low, high = _band(regret)
        axes.plot(at, regret.mean(axis=0), line, color=colour, label=arm, linewidth=1.8)
        axes.fill_between(at, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set(xlabel="evaluations", ylabel="normalised regret (0 best, 1 median)", yscale="log")
    axes.set_xlim(1, regret.shape[1])
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    _save(figure, path)


def draw_ratios(arms: pd.DataFrame, reference: str, path: Path) -> None:
    """Evaluations of every arm as a share of the reference's, with 95% intervals."""
    figure, axes = _canvas(7.5, 0.9 + 0.34 * len(arms))
    ordered = arms[::-1].reset_index(drop=True)
    for place, row in ordered.iterrows():
        colour = COLOURS[0] if row["high"] < 1 else COLOURS[1] if row["low"] > 1 else "#777777"
        axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2.2)
        axes.plot(row["ratio"], place, "o", color=colour, markersize=6)
    axes.axvline(1.0, color="#777777", linewidth=1, linestyle=":")
    axes.set_yticks(range(len(ordered)), ordered["arm"])
    axes.set(xlabel=f"evaluations to the best 1%, as a share of {reference}")
    axes.set_xlim(left=0)
    _save(figure, path)


def _band(regret: Floats) -> tuple[list[float], list[float]]:
    intervals = [bootstrap_interval(column, n_resamples=N_RESAMPLES) for column in regret.T]
    low, high = zip(*intervals, strict=True)
    return list(low), list(high)


def _canvas(width: float, height: float) -> tuple[Any, Any]:
    """A figure of its own canvas: no window, no global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError(
            "figures need the package matplotlib: pip install 'llmpso[benchmark]'"
        ) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=160)
