"""A chart as a figure of Plotly: traces and layout for a page, or an object for a notebook."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmpso.escaping import in_html
from llmpso.extras import needed_by
from llmpso.pages.charts import Axis, Bars, Chart, Counts, Panel
from llmpso.pages.palette import FAINT, INK
from llmpso.pages.plotly_traces import Trace, trace_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

FONT = "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"

GAP = 0.09
"""Between two panels, as a share of the figure."""

CLEAR = "rgba(0,0,0,0)"
"""The background, so that a page may be light or dark."""


def figure(chart: Chart) -> "Figure":
    """A figure as an object of Plotly.

    Raises:
        SpecError: Plotly is not installed.
    """
    # Here, because Plotly takes a second to import.
    with needed_by("a figure to explore", "plots"):
        from plotly.graph_objects import Figure
    traces, layout = figure_parts(chart)
    own = {"title": {"text": in_html(chart.title), "x": 0}, "height": height(chart) + 60}
    margin = {**layout["margin"], "t": layout["margin"]["t"] + 60}
    return Figure(traces, {**layout, **own, "margin": margin, "paper_bgcolor": "white"})


def height(chart: Chart) -> int:
    """Pixels that a chart needs."""
    first = chart.panels[0].marks[0]
    if isinstance(first, Bars):
        return 110 + 34 * len(first.names)
    return 90 + 330 * math.ceil(len(chart.panels) / chart.n_columns)


def figure_parts(chart: Chart) -> tuple[list[Trace], dict[str, Any]]:
    """The traces and the layout of a chart, as Plotly's own JSON."""
    traces: list[Trace] = []
    layout: dict[str, Any] = {
        "font": {"family": FONT, "size": 13, "color": INK},
        "margin": {"l": 70, "r": 20, "t": 40, "b": 55},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    }
    seen: set[str] = set()
    for number, panel in enumerate(chart.panels, start=1):
        suffix = "" if number == 1 else str(number)
        across, up = _domain(number - 1, chart)
        x, y = _named(panel)
        layout[f"xaxis{suffix}"] = _axis(x) | {"domain": across, "anchor": f"y{suffix}"}
        layout[f"yaxis{suffix}"] = _axis(y) | {"domain": up, "anchor": f"x{suffix}"}
        for mark in panel.marks:
            trace = trace_of(mark)
            if trace["type"] != "parcoords":
                trace |= {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
                trace |= _entry(trace.get("name", ""), seen)
            else:
                layout["margin"] = {"l": 60, "r": 60, "t": 60, "b": 30}
            traces.append(trace)
    return traces, layout


def _entry(name: str, seen: set[str]) -> Trace:
    """One line of the legend for all traces of a name; a click hides them all."""
    is_new = bool(name) and name not in seen
    seen.add(name)
    return {"showlegend": is_new, "legendgroup": name}


def _domain(place: int, chart: Chart) -> tuple[list[float], list[float]]:
    """The shares of width and height that a panel takes."""
    n_columns, n_rows = chart.n_columns, math.ceil(len(chart.panels) / chart.n_columns)
    row, column = divmod(place, n_columns)
    width, height = (1 + GAP) / n_columns, (1 + 2 * GAP) / n_rows
    left, top = column * width, 1 - row * height
    return [left, left + width - GAP], [max(0.0, top - height + 2 * GAP), top]


def _named(panel: Panel) -> tuple[Axis, Axis]:
    """The axes of a panel; bars and tables name their places, which two of a name share."""
    mark = panel.marks[0]
    if isinstance(mark, Bars):
        return panel.x, replace(panel.y, ticks=tuple(enumerate(mark.names[::-1])))
    if isinstance(mark, Counts):
        x, y = tuple(enumerate(mark.columns)), tuple(enumerate(mark.rows[::-1]))
        return replace(panel.x, ticks=x), replace(panel.y, ticks=y)
    return panel.x, panel.y


def _axis(axis: Axis) -> dict[str, Any]:
    described: dict[str, Any] = {
        "title": {"text": in_html(axis.label)},
        "type": "log" if axis.log else "linear",
        "gridcolor": FAINT,
        "zeroline": False,
        "automargin": True,
    }
    if axis.limits is not None:
        described["range"] = [math.log10(end) for end in axis.limits] if axis.log else axis.limits
    if axis.log:
        # Else a narrow axis has a line at every digit.
        described["dtick"] = "D2"
    if axis.ticks:
        places, names = zip(*axis.ticks, strict=True)
        described |= {"tickvals": places, "ticktext": [in_html(name) for name in names]}
    return described
