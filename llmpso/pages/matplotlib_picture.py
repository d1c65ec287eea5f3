"""Charts as PNG pictures, by matplotlib."""

import io
import math
from functools import singledispatch
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.ticker import NullLocator, PercentFormatter
from PIL import Image

from llmpso.escaping import literal
from llmpso.pages.charts import (
    Axis,
    Bars,
    Chart,
    Counts,
    Dots,
    Images,
    Mark,
    Panel,
    Parallel,
    Path,
)
from llmpso.pages.palette import FAINT, GREY, INK

SYMBOLS = {"circle": "o", "star": "*", "diamond": "D", "square": "s", "cross": "x", "ring": "o"}

SHADES = "viridis"

LEFT, TOP, BOTTOM, GAP, CHARACTER = 0.8, 0.6, 0.6, 0.75, 0.078
"""Inches around and between panels, and of a letter of a label: measured, not laid out by
matplotlib, which would draw everything twice more."""

LABEL_BOX = {"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 1}

DPI, IMAGES_PER_ROW = 110, 6


def picture(chart: Chart) -> bytes:
    """A chart as a PNG."""
    n_rows = math.ceil(len(chart.panels) / chart.n_columns)
    panel_width, panel_height = _panel_size(chart)
    labels = [_longest(panel) for panel in chart.panels if isinstance(panel.marks[0], Bars)]
    left = LEFT + CHARACTER * max(labels, default=0)
    right = _legend_width(chart)
    width = left + chart.n_columns * (panel_width + GAP) - GAP + right
    height = TOP + n_rows * (panel_height + GAP) - GAP + BOTTOM
    figure = Figure(figsize=(width, height), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    for place, panel in enumerate(chart.panels):
        row, column = divmod(place, chart.n_columns)
        x = left + column * (panel_width + GAP)
        y = height - TOP - row * (panel_height + GAP) - panel_height
        box = (x / width, y / height, panel_width / width, panel_height / height)
        _draw_panel(figure.add_axes(box), panel)
    figure.text(
        0.15 / width,
        1 - 0.12 / height,
        literal(chart.title),
        va="top",
        fontsize=13,
        weight="bold",
        color=INK,
    )
    _draw_legend(figure, 1 - (right - 0.15) / width)
    return _png(canvas)


def _png(canvas: FigureCanvasAgg) -> bytes:
    """The canvas, drawn once; `savefig` would do it twice."""
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def _panel_size(chart: Chart) -> tuple[float, float]:
    """Inches: bars need only a line each, and panels side by side are smaller."""
    first = chart.panels[0].marks[0]
    if isinstance(first, Bars):
        return 6.5, 0.4 + 0.32 * len(first.names)
    if isinstance(first, Images):
        return 7.0, 1.5 * math.ceil(len(first.pngs) / IMAGES_PER_ROW)
    if isinstance(first, Parallel):
        return max(6.0, 1.3 * len(first.axes)), 4.2
    return {1: (6.4, 4.2), 2: (4.6, 3.8)}.get(chart.n_columns, (3.0, 2.5))


def _longest(panel: Panel) -> int:
    return max(len(name) for mark in panel.marks if isinstance(mark, Bars) for name in mark.names)


def _legend_width(chart: Chart) -> float:
    marks = [mark for panel in chart.panels for mark in panel.marks]
    names = [mark.name for mark in marks if isinstance(mark, Dots | Path)]
    return 0.7 + CHARACTER * max(map(len, names)) if any(names) else 0.4


def _draw_legend(figure: Figure, left: float) -> None:
    """One legend for all panels, to their right."""
    named: dict[Any, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        named |= {label: handle for handle, label in zip(handles, labels, strict=True)}
    if named:
        figure.legend(
            list(named.values()),
            list(named),
            loc="center left",
            bbox_to_anchor=(left, 0.5),
            frameon=False,
            fontsize=9,
        )


def _draw_panel(axes: Axes, panel: Panel) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    _scale(axes, "x", panel.x)
    _scale(axes, "y", panel.y)
    for mark in panel.marks:
        _draw(mark, axes)


def _scale(axes: Axes, which: str, axis: Axis) -> None:
    axes.set(**{f"{which}label": literal(axis.label)})
    if axis.log:
        axes.set(**{f"{which}scale": "log"})
    if axis.limits is not None:
        axes.set(**{f"{which}lim": axis.limits})
    if axis.ticks:
        places, names = zip(*axis.ticks, strict=True)
        axes.set(
            **{f"{which}ticks": places, f"{which}ticklabels": [literal(name) for name in names]}
        )
        getattr(axes, f"{which}axis").set_minor_locator(NullLocator())


@singledispatch
def _draw(mark: Mark, axes: Axes) -> None:
    raise TypeError(f"{type(mark).__name__} cannot be drawn")


@_draw.register
def _(mark: Dots, axes: Axes) -> None:
    is_ring = mark.symbol == "ring"
    colours: dict[str, Any] = {"facecolors": "none", "edgecolors": mark.colour}
    if not is_ring:
        colours = {"color": mark.colour}
        colours |= {} if mark.symbol == "cross" else {"edgecolors": "white"}
    axes.scatter(
        mark.x,
        mark.y,
        s=mark.size**2 * 0.7,
        marker=SYMBOLS[mark.symbol],
        label=mark.name,
        linewidths=1.8 if is_ring or mark.symbol == "cross" else 0.5,
        zorder=3,
        **colours,
    )


@_draw.register
def _(mark: Path, axes: Axes) -> None:
    axes.plot(
        mark.x,
        mark.y,
        "--" if mark.dashed else "-",
        color=mark.colour,
        linewidth=mark.width,
        label=mark.name or "_",
        alpha=mark.opacity,
        zorder=2,
        drawstyle="steps-post" if mark.is_step else "default",
    )


@_draw.register
def _(mark: Bars, axes: Axes) -> None:
    names, values = list(mark.names)[::-1], list(mark.values)[::-1]
    bars = axes.barh(range(len(names)), values, color=mark.colour, height=0.7)
    axes.set_yticks(range(len(names)), [literal(name) for name in names])
    axes.bar_label(bars, [f"{value:.0%}" for value in values], padding=4, fontsize=9)
    axes.set_xlim(0, 1.12 * max(values))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(False, axis="y")


@_draw.register
def _(mark: Counts, axes: Axes) -> None:
    counts = np.array(mark.counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(mark.columns)), [*map(literal, mark.columns)])
    axes.set_yticks(range(len(mark.rows)), [*map(literal, mark.rows)])
    axes.grid(False)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else INK
        axes.text(column, row, str(count), ha="center", va="center", color=colour)


@_draw.register
def _(mark: Parallel, axes: Axes) -> None:
    from matplotlib import colormaps

    colours = colormaps[SHADES](np.asarray(mark.shades) * 0.95)
    at = range(len(mark.axes))
    for line, colour, shade in zip(mark.lines, colours, mark.shades, strict=True):
        axes.plot(at, line, color=colour, alpha=0.9 - 0.6 * shade, linewidth=2.2 - 1.4 * shade)
    for place, axis in enumerate(mark.axes):
        axes.axvline(place, color=GREY, linewidth=0.8, zorder=0)
        for height, name in axis.ticks:
            axes.annotate(
                literal(name),
                (place, height),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=INK,
                bbox=LABEL_BOX,
            )
    axes.set_xticks(at, [literal(axis.label) for axis in mark.axes])
    axes.set_xlim(-0.1, len(mark.axes) - 0.55)
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines[:].set_visible(False)
    axes.grid(False)


@_draw.register
def _(mark: Images, axes: Axes) -> None:
    axes.set_axis_off()
    n_columns = IMAGES_PER_ROW
    n_rows = math.ceil(len(mark.pngs) / n_columns)
    for place, (png, caption) in enumerate(zip(mark.pngs, mark.captions, strict=True)):
        row, column = divmod(place, n_columns)
        box = (column / n_columns, 1 - (row + 1) / n_rows, 0.92 / n_columns, 0.8 / n_rows)
        inset = axes.inset_axes(box)
        pixels = imread(io.BytesIO(png))
        inset.imshow(pixels, cmap="gray", interpolation="nearest")
        inset.set_axis_off()
        inset.set_title(literal(caption), fontsize=8, color=INK)
