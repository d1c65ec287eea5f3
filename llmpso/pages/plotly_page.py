"""Charts to be explored in a browser, by Plotly: one page of its own, which needs no network.

The library is part of the page, once for all charts: where MLflow shows an artifact, the page has
no address, and files beside it cannot be found.
"""

import base64
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from llmpso.escaping import in_html, json_in_html
from llmpso.pages.charts import Chart, Images
from llmpso.pages.html_table import TABLE_STYLE
from llmpso.pages.plotly_figure import FONT, figure_parts, height

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 {font}; max-width: 1080px; margin: auto; padding: 1.5rem;
  color: light-dark(#222, #ddd); background: light-dark(#fff, #111) }}
h1 {{ font-size: 1.5rem; margin: 0; overflow-wrap: anywhere }}
h2 {{ font-size: 1.15rem; margin: 2.2rem 0 0; overflow-wrap: anywhere }}
p {{ margin: .2rem 0 .6rem; color: light-dark(#555, #aaa); overflow-wrap: anywhere }}
nav a {{ margin-right: 1em; color: light-dark(#0072B2, #56B4E9); text-decoration: none }}
figure {{ display: inline-block; margin: .5rem 1rem .5rem 0; text-align: center }}
figure img {{ width: 112px; image-rendering: pixelated; border-radius: 4px }}
/* Dark ink becomes light, and each colour stays what it is. */
@media screen and (prefers-color-scheme: dark) {{
  .chart {{ filter: invert(1) hue-rotate(180deg) }}
}}
{table_style}
</style>
<h1>{title}</h1>
<p>{subtitle}</p>
<nav>{links}</nav>
{tables}
{sections}
{script}
</html>
"""

SCRIPT = """<script>{library}</script>
<script>
for (const [id, traces, layout] of {figures})
  Plotly.newPlot(id, traces, layout, {{responsive: true, displayModeBar: false}});
</script>"""


def page(charts: Sequence[Chart], title: str, subtitle: str, tables: str = "") -> str:
    """All charts as one HTML page.

    Args:
        charts: Below each other.
        title: At its top.
        subtitle: One line below it.
        tables: HTML above the charts, in which all text is escaped.
    """
    return PAGE.format(
        title=in_html(title),
        subtitle=in_html(subtitle),
        font=FONT,
        table_style=TABLE_STYLE,
        links="".join(f'<a href="#{chart.name}-title">{chart.name}</a>' for chart in charts),
        tables=tables,
        sections="\n".join(map(_section, charts)),
        script=_script(charts),
    )


def _script(charts: Sequence[Chart]) -> str:
    """The library and what it draws; nothing where there is nothing to draw."""
    figures = [(chart.name, *figure_parts(chart)) for chart in charts if not _is_gallery(chart)]
    return SCRIPT.format(library=_library(), figures=json_in_html(figures)) if figures else ""


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
    return f'{head}<div class="chart" id="{chart.name}" style="height: {height(chart)}px"></div>'


def _is_gallery(chart: Chart) -> bool:
    return isinstance(chart.panels[0].marks[0], Images)


def _gallery(images: Images) -> str:
    return "".join(
        f'<figure><img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{in_html(caption)}</figcaption></figure>"
        for png, caption in zip(images.pngs, images.captions, strict=True)
    )
