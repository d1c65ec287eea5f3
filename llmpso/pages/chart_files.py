"""All charts of a study as files: a picture of each, and one page to explore them in a browser."""

from collections.abc import Sequence
from pathlib import Path

from llmpso.pages.charts import Chart

PAGE_FILE = "study.html"


def draw(charts: Sequence[Chart], folder: Path, title: str, subtitle: str) -> list[Path]:
    """Write `NAME.png` for every chart, and `study.html` with all of them.

    Args:
        charts: What to draw; nothing is written for none.
        folder: An existing folder.
        title: Of the page.
        subtitle: One line below it.

    Returns:
        The files, the page last.
    """
    # Drawing libraries take a second to import, which no import of a study should.
    from llmpso.pages.matplotlib_picture import picture
    from llmpso.pages.plotly_page import page

    if not charts:
        return []
    files = []
    for chart in charts:
        files.append(folder / f"{chart.name}.png")
        files[-1].write_bytes(picture(chart))
    files.append(folder / PAGE_FILE)
    files[-1].write_text(page(list(charts), title, subtitle), encoding="utf-8")
    return files
