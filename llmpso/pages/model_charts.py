"""The charts of one trained model, from the small records that its evaluation left."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

from llmpso.pages.charts import Axis, Chart, Counts, Dots, Images, Panel, Path
from llmpso.pages.palette import BLUE, INK
from llmpso.pages.trial_points import label
from llmpso.text import plural

FORECAST, CONFUSION, MISTAKES = "forecast.json", "confusion.json", "mistakes.json"
"""Names of the records among the artifacts of an evaluation."""

N_TICKS = 4

Record = Mapping[str, Any]


def model_charts(records: Mapping[str, Record]) -> list[Chart]:
    """The charts that the records of a model allow, by the records' file names."""
    found = [name for name in CHARTS if name in records]
    return [chart for name in found for chart in CHARTS[name](records[name])]


def forecast(record: Record) -> list[Chart]:
    """Forecasts beside what came, over the newest rows, and one against the other."""
    truth, forecasts, times = record["truth"], record["forecast"], record["times"]
    unit = label(f"{record['target']} ({record['unit']})" if record["unit"] else record["target"])
    at = list(range(len(truth)))
    step = max(1, len(at) // N_TICKS)
    ticks = tuple((float(place), label(times[place])) for place in at[::step])
    low, high = min(*truth, *forecasts), max(*truth, *forecasts)
    over_time = Panel(
        (
            Path(at, truth, "what came", INK, 1.6),
            Path(at, forecasts, f"forecast, {plural(record['horizon'], 'row')} before", BLUE, 1.6),
        ),
        Axis("", ticks=ticks),
        Axis(unit),
    )
    right = Path([low, high], [low, high], "", INK, 1.0, dashed=True)
    against = Panel(
        (right, Dots(truth, forecasts, "", BLUE, size=4.0)),
        Axis("what came"),
        Axis("forecast"),
    )
    return [
        Chart(
            "forecast",
            "The best model's forecasts against the truth",
            "The newest rows, by which no trial was chosen; on the dashed line all is right.",
            (over_time, against),
            n_columns=2,
        )
    ]


def confusion(record: Record) -> list[Chart]:
    """Images by true and by predicted class."""
    classes = [label(name) for name in record["classes"]]
    table = Counts(classes, classes, record["test"])
    return [
        Chart(
            "confusion",
            "Which classes the best model confuses",
            "Test images, by which no trial was chosen; shaded by the share of the true class.",
            (Panel((table,), Axis("predicted class"), Axis("true class")),),
        )
    ]


def mistakes(record: Record) -> list[Chart]:
    """Some of the images that were taken for another class."""
    shown = record["images"]
    if not shown:
        return []
    images = Images(
        [base64.b64decode(image["png"]) for image in shown],
        [f"{label(image['true'])}, not {label(image['predicted'])}" for image in shown],
    )
    return [
        Chart(
            "mistakes",
            "What the best model gets wrong",
            f"{len(shown)} of the {record['total']} test images that it takes for another class, "
            "those first of which it is surest.",
            (Panel((images,)),),
        )
    ]


CHARTS: dict[str, Callable[[Record], list[Chart]]] = {
    FORECAST: forecast,
    CONFUSION: confusion,
    MISTAKES: mistakes,
}
