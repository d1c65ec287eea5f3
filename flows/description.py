"""A finished study in Markdown: for the page of its run in MLflow, and for Prefect."""

import base64
from collections.abc import Mapping, Sequence

from flows.summary import STOPPED, Summary
from llmpso.limits import StopReason
from llmpso.markup import code, markdown, paragraphs
from llmpso.text import short
from tasks.pages import FIGURES

INLINE = ("convergence", "importance", "forecast", "confusion")
"""Pictures that Prefect's page shows; MLflow has them all."""


def description(summary: Summary) -> str:
    """What was tuned, on what, what came of it, and how to use it."""
    parts = [
        paragraphs(summary.description),
        "\n".join(f"- Note: {markdown(note, 2_000)}" for note in summary.notes),
        _result(summary),
        _table(["", *map(markdown, _figure_names(summary))], _compared(summary)),
        _table(["hyperparameter", "best"], _params(summary)),
        _loading(summary),
        f"Figures are among the artifacts: `{FIGURES}/study.html` to explore, PNG to show."
        + (f" [The run in Prefect]({summary.prefect_run})" if summary.prefect_run else ""),
    ]
    return "\n\n".join(part for part in parts if part)


def report(summary: Summary, pictures: Mapping[str, bytes]) -> str:
    """The same for Prefect's page, with a link to MLflow and the most telling pictures."""
    link = f"[The run in MLflow]({summary.run_url})" if summary.run_url else _opening(summary)
    shown = [_picture(name, pictures[name]) for name in INLINE if name in pictures]
    return "\n\n".join([f"## {markdown(summary.study)}", link, description(summary), *shown])


def _result(summary: Summary) -> str:
    return (
        f"**Best {markdown(summary.metric)}: {short(summary.best_value)}**, "
        f"after {summary.evaluations} trainings ({summary.failed} failed); "
        f"{STOPPED[StopReason(summary.stop_reason)]}. "
        f"Trial {summary.best_number}, from `{summary.best_source}`. "
        f"Language model: {markdown(summary.advisor)}."
    )


def _params(summary: Summary) -> list[list[str]]:
    return [[markdown(name), code(short(value))] for name, value in summary.best_params.items()]


def _figure_names(summary: Summary) -> list[str]:
    """The figures that a baseline has, and the best trial too."""
    names = [name for figures in summary.baselines.values() for name in figures]
    return [name for name in dict.fromkeys(names) if name in _tuned(summary)]


def _tuned(summary: Summary) -> dict[str, float]:
    named = summary.metric.split(" (")[0].replace(" ", "_").lower()
    return {named: summary.best_value} | dict(summary.best_metrics)


def _compared(summary: Summary) -> list[list[str]]:
    """The tuned model beside its baselines; nothing without a common figure."""
    names, rows = (
        _figure_names(summary),
        {
            "**tuned**": _tuned(summary),
            **{markdown(name): figures for name, figures in summary.baselines.items()},
        },
    )
    if not names:
        return []
    return [
        [model, *(short(figures[name]) if name in figures else "" for name in names)]
        for model, figures in rows.items()
    ]


def _loading(summary: Summary) -> str:
    if not summary.model:
        return ""
    return (
        "```python\nimport mlflow\n\n"
        f'model = mlflow.pyfunc.load_model("models:/{summary.model}")\n```'
    )


def _opening(summary: Summary) -> str:
    return f"In MLflow: run `{summary.run_id}`, after {code(summary.opening)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _picture(name: str, png: bytes) -> str:
    return f"![{name}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})"
