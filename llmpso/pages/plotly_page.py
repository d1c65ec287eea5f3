"""Charts to be explored in a browser, by Plotly: one page of its own, which needs no network.

The library is part of the page, once for all charts: where MLflow shows an artifact, the page has
no address, and files beside it cannot be found.
"""

import base64
import math
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from llmpso.escaping import in_html, json_in_html
from llmpso.pages.charts import Axis, Bars, Chart, Counts, Images, Mark, Panel, Parallel
from llmpso.pages.palette import FAINT, INK
from llmpso.pages.plotly_traces import Trace, trace_of

FONT = "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"

GAP = 0.09
"""Between two panels, as a share of the figure."""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 {font}; color: {ink}; max-width: 1080px; margin: auto; padding: 1.5rem }}
h1 {{ font-size: 1.5rem; margin: 0 }} h2 {{ font-size: 1.15rem; margin: 2.2rem 0 0 }}
p {{ margin: .2rem 0 .6rem; color: #555 }}
nav a {{ margin-right: 1em; color: #0072B2; text-decoration: none }}
figure {{ display: inline-block; margin: .5rem 1rem .5rem 0; text-align: center }}
figure img {{ width: 112px; image-rendering: pixelated; border-radius: 4px }}
</style>
<h1>{title}</h1>
<p>{subtitle}</p>
<nav>{links}</nav>
{sections}
<script>{library}</script>
<script>
for (const [id, traces, layout] of {figures})
  Plotly.newPlot(id, traces, layout, {{responsive: true, displayModeBar: false}});
</script>
</html>
"""


def page(charts: list[Chart], title: str, subtitle: str) -> str:
    """All charts as one HTML page."""
    figures = [(chart.name, *_figure(chart)) for chart in charts if not _is_gallery(chart)]
    return PAGE.format(
        title=in_html(title),
        subtitle=in_html(subtitle),
        font=FONT,
        ink=INK,
        links="".join(f'<a href="#{chart.name}-title">{chart.name}</a>' for chart in charts),
        sections="\n".join(_section(chart) for chart in charts),
        library=_library(),
        figures=json_in_html(figures),
    )


@cache
def _library() -> str:
    """Plotly for the browser; read from the package, whose import takes far longer."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _section(chart: Chart) -> str:
    head = (
        f'<h2 id="{chart.name}-title">{in_html(chart.title)}</h2><p>{in_html(chart.caption)}</p>'
    )
    if _is_gallery(chart):
        return head + "".join(
            _gallery(mark) for mark in chart.panels[0].marks if isinstance(mark, Images)
        )
    return f'{head}<div id="{chart.name}" style="height: {_height(chart)}px"></div>'


def _is_gallery(chart: Chart) -> bool:
    return isinstance(chart.panels[0].marks[0], Images)


def _gallery(images: Images) -> str:
    return "".join(
        f'<figure><img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{in_html(caption)}</figcaption></figure>"
        for png, caption in zip(images.pngs, images.captions, strict=True)
    )


def _height(chart: Chart) -> int:
    first = chart.panels[0].marks[0]
    if isinstance(first, Bars):
        return 110 + 34 * len(first.names)
    return 90 + 330 * math.ceil(len(chart.panels) / chart.n_columns)


def _figure(chart: Chart) -> tuple[list[Trace], dict[str, Any]]:
    """The traces and the layout of a chart, as Plotly's own JSON."""
    traces: list[Trace] = []
    layout: dict[str, Any] = {
        "font": {"family": FONT, "size": 13, "color": INK},
        "margin": {"l": 70, "r": 20, "t": 40, "b": 55},
        "plot_bgcolor": "white",
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
            layout = layout | _extra(mark)
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


def _extra(mark: Mark) -> dict[str, Any]:
    """Layout settings that a kind of mark needs."""
    if isinstance(mark, Parallel):
        return {"margin": {"l": 60, "r": 60, "t": 60, "b": 30}}
    return {}
