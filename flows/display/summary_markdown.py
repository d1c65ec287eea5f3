"""A finished study in Markdown: the description of its MLflow run, and Prefect's report."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from flows.display.began_from import began_from_table, belief_line, relevance_table, worth_table
from flows.display.summary import STOPPED, Summary
from flows.display.summary_text import pruned
from llmpso.escaping import code, markdown, paragraphs
from llmpso.study.stopping import StopReason
from llmpso.text import plural, short
from tasks.records.pages import FIGURES
from tasks.store.page_links import version_page

INLINE = ("convergence", "front", "importance", "forecast", "confusion")
"""Figures in Prefect's report; MLflow has all of them."""


def description(summary: Summary) -> str:
    """What MLflow's page of the study says, with a link to the version that came of it."""
    name, _, version = summary.model.rpartition("/")
    link = f"[{markdown(summary.model)}]({version_page(name, version)})" if name else ""
    return "\n\n".join(part for part in (_described(summary), link) if part)


def _described(summary: Summary) -> str:
    """What was tuned, on which data, the result, and how to load the model."""
    parts = [
        paragraphs(summary.description),
        "\n".join(f"- Note: {markdown(note, 2_000)}" for note in summary.notes),
        _result(summary),
        f"Failures: {markdown(summary.failures, 2_000)}." if summary.failures else "",
        _table(["", *map(markdown, _figure_names(summary))], _compared(summary)),
        _table(["hyperparameter", "best"], _params(summary)),
        *_front(summary),
        *_memory(summary),
        *_ensemble(summary),
        _loading(summary),
        f"Figures are among the artifacts: `{FIGURES}/study.html` (interactive) and PNG."
        + (f" [The run in Prefect]({summary.prefect_run})" if summary.prefect_run else ""),
    ]
    return "\n\n".join(part for part in parts if part)


def report(summary: Summary, pictures: Mapping[str, bytes]) -> str:
    """The description, with a link to MLflow and the most important figures."""
    link = (
        f"[The run in MLflow]({summary.run_url})" if summary.run_url else _command_to_open(summary)
    )
    shown = [_picture(name, pictures[name]) for name in INLINE if name in pictures]
    return "\n\n".join([f"## {markdown(summary.study)}", link, _described(summary), *shown])


def _result(summary: Summary) -> str:
    expected = summary.expected
    value = short(expected.value if expected and expected.n_repeats else summary.best_value)
    said = f" Another training of it is expected to give {expected}." if expected else ""
    return (
        f"**Best {markdown(summary.metric)}: {value}**, "
        f"after {plural(summary.evaluations, 'evaluation')} "
        f"({summary.failed} failed{pruned(summary)}); "
        f"{STOPPED[StopReason(summary.stop_reason)]}. "
        f"It is trial {summary.best_number}, from `{summary.best_source}`.{said} "
        f"Language model: {markdown(summary.advisor)}."
    )


def _params(summary: Summary) -> list[list[str]]:
    return [[markdown(name), code(short(value))] for name, value in summary.best_params.items()]


def _figure_names(summary: Summary) -> list[str]:
    """The figures that both a baseline and the best trial have."""
    names = [name for figures in summary.baselines.values() for name in figures]
    return [name for name in dict.fromkeys(names) if name in _tuned(summary)]


def _tuned(summary: Summary) -> dict[str, float]:
    named = summary.metric.split(" (")[0].replace(" ", "_").lower()
    return {named: summary.best_value} | dict(summary.best_metrics)


def _compared(summary: Summary) -> list[list[str]]:
    """The tuned model and its baselines; nothing if they share no figure."""
    names = _figure_names(summary)
    baselines = {markdown(name): figures for name, figures in summary.baselines.items()}
    rows = {"**tuned**": _tuned(summary)} | baselines
    if not names:
        return []
    return [
        [model, *(short(figures[name]) if name in figures else "" for name in names)]
        for model, figures in rows.items()
    ]


def _front(summary: Summary) -> list[str]:
    """The front of several goals, the chosen one in bold."""
    if not summary.front:
        return []
    names = list(summary.goals)
    rows = [
        [_bold(short(row["values"][name]), row["number"] == summary.best_number) for name in names]
        + [str(row["number"]), code(_joined(row["params"]))]
        for row in summary.front
    ]
    text = f"The front of the goals; the chosen one, in bold, by {code(summary.choose)}:"
    return [text, _table([*map(markdown, names), "trial", "hyperparameters"], rows)]


def _bold(text: str, is_bold: bool) -> str:
    return f"**{text}**" if is_bold else text


def _joined(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {short(value)}" for name, value in values.items())


def _ensemble(summary: Summary) -> list[str]:
    """Whether the model is an average of others, and the losses of both."""
    found = summary.ensemble_outcome
    if found is None:
        return []
    what = "The registered model is an ensemble" if found.accepted else "No ensemble"
    measured = {
        "validation, selects": found.selection,
        "validation, decides": found.held_out,
        "test": found.test,
    }
    rows = [[n, short(m.ensemble), short(m.single)] for n, m in measured.items() if m]
    members = [[str(m.number), short(m.weight), code(_joined(m.params))] for m in found.members]
    return [
        f"{what}: {markdown(found.reason, 2_000)}.",
        _table(["loss on", "ensemble", "best single model"], rows),
        _table(["trial", "weight", "hyperparameters"], members),
    ]


def _memory(summary: Summary) -> list[str]:
    """What it began from, with links, and what each start was worth."""
    earlier = began_from_table(summary.began_from)
    head = ["began from", "its best", "of", "trials", "ended", "share"]
    starts = worth_table(summary.starts)
    followed = belief_line(summary.beliefs)
    worth = ["start", "its worth here", "first tried in"]
    relevant = _table(["relevant by the LLM", "its reason"], relevance_table(summary.began_from))
    belief = followed and f"Memory: {followed}."
    return [_table(head, earlier), relevant, _table(worth, starts), belief]


def _loading(summary: Summary) -> str:
    if not summary.model:
        return ""
    return (
        "```python\nimport mlflow\n\n"
        f'model = mlflow.pyfunc.load_model("models:/{summary.model}")\n```'
    )


def _command_to_open(summary: Summary) -> str:
    return f"In MLflow: run `{summary.run_id}`; {code(summary.command_to_open)} opens it"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _picture(name: str, png: bytes) -> str:
    return f"![{name}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})"
