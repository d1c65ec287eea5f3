"""The marks of a chart as Plotly's traces."""

from functools import singledispatch
from typing import Any

from llmpso.escaping import in_html
from llmpso.pages.charts import Bars, Counts, Dots, Mark, Parallel, Path

Trace = dict[str, Any]

SYMBOLS = {
    "circle": "circle",
    "star": "star",
    "diamond": "diamond",
    "square": "square",
    "cross": "x-thin",
    "ring": "circle-open",
}


@singledispatch
def trace_of(mark: Mark) -> Trace:
    """The trace of a mark, as Plotly's own JSON; its axes are the page's to add."""
    raise TypeError(f"{type(mark).__name__} cannot be drawn")


@trace_of.register
def _(mark: Dots) -> Trace:
    edge: dict[str, Any] = {"width": 2 if mark.symbol in ("cross", "ring") else 0.5}
    edge |= {"color": mark.colour if mark.symbol in ("cross", "ring") else "white"}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(mark.x),
        "y": list(mark.y),
        "name": in_html(mark.name),
        "text": [in_html(text) for text in mark.texts],
        "hoverinfo": "text" if mark.texts else "x+y",
        "marker": {
            "color": mark.colour,
            "symbol": SYMBOLS[mark.symbol],
            "size": mark.size,
            "line": edge,
        },
    }


@trace_of.register
def _(mark: Path) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(mark.x),
        "y": list(mark.y),
        "name": in_html(mark.name),
        "opacity": mark.opacity,
        "hoverinfo": "x+y+name" if mark.name else "skip",
        "line": {
            "color": mark.colour,
            "width": mark.width,
            "dash": "dash" if mark.dashed else "solid",
            "shape": "hv" if mark.is_step else "linear",
        },
    }


@trace_of.register
def _(mark: Bars) -> Trace:
    return {
        "type": "bar",
        "orientation": "h",
        "x": list(mark.values)[::-1],
        "y": list(range(len(mark.names))),
        "text": [f"{value:.0%}" for value in mark.values][::-1],
        "textposition": "outside",
        "cliponaxis": False,
        "hoverinfo": "skip",
        "marker": {"color": mark.colour},
    }


@trace_of.register
def _(mark: Counts) -> Trace:
    sums = [max(1, sum(row)) for row in mark.counts]
    shares = [
        [count / total for count in row] for row, total in zip(mark.counts, sums, strict=True)
    ]
    return {
        "type": "heatmap",
        "x": list(range(len(mark.columns))),
        "y": list(range(len(mark.rows))),
        "z": shares[::-1],
        "text": [list(row) for row in mark.counts][::-1],
        "texttemplate": "%{text}",
        "colorscale": "Blues",
        "reversescale": False,
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "hovertemplate": "%{text} of this true class, %{z:.0%}<extra></extra>",
    }


@trace_of.register
def _(mark: Parallel) -> Trace:
    columns = zip(*mark.lines, strict=True)
    return {
        "type": "parcoords",
        "dimensions": [
            {
                "label": in_html(axis.label),
                "values": list(values),
                "range": [min([0, *(place for place, _ in axis.ticks)]), 1],
                "tickvals": [place for place, _ in axis.ticks],
                # Plotly shows these as they are, unlike any other text.
                "ticktext": [name for _, name in axis.ticks],
            }
            for axis, values in zip(mark.axes, columns, strict=True)
        ],
        "line": {"color": list(mark.shades), "colorscale": "Viridis", "cmin": 0, "cmax": 1},
        "labelfont": {"size": 13},
    }
