"""What a study began from, and what each start was worth in it, as plain values and as text."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmpso.escaping import code, markdown
from llmpso.memory.mapping import MappedStudy, mapped
from llmpso.memory.past_study import PastStudy
from llmpso.search.warm_start import Memory
from llmpso.space import SearchSpace
from llmpso.text import brief, short
from llmpso.trial import Source, Trial
from tasks.earlier_studies.find import counted

MOST_NAMED = 3
"""Earlier studies that a terminal shows by name."""

MOST_ROWS = 10
"""Earlier studies in a table; a description in MLflow takes a few thousand characters."""

Record = Mapping[str, Any]


def earlier_records(studies: Sequence[PastStudy], memory: Memory | None) -> list[dict[str, Any]]:
    """The earlier studies: name, run or file, address, metric, best value, and when they ended.

    Args:
        studies: As the study began from them.
        memory: How much each counts by now, and why a language model finds it relevant.
    """
    shares, reasons = (memory.shares, memory.reasons) if memory else ({}, {})
    return [
        {
            "name": study.name,
            "reference": study.reference,
            "url": study.url,
            "metric": study.metric,
            "trials": len(study.trials),
            "best": study.best.value if study.best else None,
            "ended": study.ended.date().isoformat() if study.ended else "",
            "share": shares.get(study.reference, 0.0),
            "relevant": reasons.get(study.reference, ""),
        }
        for study in studies
    ]


def start_records(
    space: SearchSpace, studies: Sequence[PastStudy], trials: Sequence[Trial]
) -> list[dict[str, Any]]:
    """What each start from an earlier study was worth: its value, and its rank in this study."""
    starts = [trial for trial in trials if trial.source is Source.MEMORY]
    fitted = (mapped(space, study) for study in studies)
    known = [found for found in fitted if isinstance(found, MappedStudy)]
    values = sorted(trial.value for trial in trials if trial.value is not None)
    return [
        {
            "trial": trial.number,
            "studies": [each.study.name for each in known if _has_tried(space, each, trial)],
            "state": str(trial.state),
            "value": trial.value,
            "rank": None if trial.value is None else 1 + values.index(trial.value),
            "of": len(values),
        }
        for trial in starts
    ]


def began_from_line(earlier: Sequence[Record]) -> str:
    """From how many studies, and the most alike by name."""
    named = [f"{brief(study['name'])}{_details(study)}" for study in earlier[:MOST_NAMED]]
    more = f" and {len(earlier) - MOST_NAMED} more" if len(earlier) > MOST_NAMED else ""
    return f"began from {counted(len(earlier))}: {'; '.join(named)}{more}"


def relevance_line(earlier: Sequence[Record]) -> str:
    """Which studies a language model finds relevant, and why; empty if none."""
    named = [f"{brief(study['name'])} ({study['relevant']})" for study in _relevant(earlier)]
    return f"the LLM finds relevant: {'; '.join(named)}" if named else ""


def relevance_table(earlier: Sequence[Record]) -> list[list[str]]:
    """Rows in Markdown: a study that a language model finds relevant, and why."""
    return [[_linked(study), markdown(study["relevant"], 500)] for study in _relevant(earlier)]


def worth_line(start: Record) -> str:
    """One start: where it came from, and what it was worth here."""
    origin = f" from {brief(start['studies'][0])}" if start["studies"] else ""
    return f"start {start['trial']}{origin}: {_worth(start)}"


def belief_line(beliefs: Sequence[Sequence[float]]) -> str:
    """How far earlier studies were followed, over time; empty if that was never asked."""
    if not beliefs:
        return ""
    places = sorted({0, len(beliefs) // 2, len(beliefs) - 1})
    course = ", ".join(f"{beliefs[at][1]:.0%} after {beliefs[at][0]:.0f}" for at in places)
    opposite = " (below 0 %: its opposite)" if any(beliefs[at][1] < 0 for at in places) else ""
    last = round(beliefs[places[-1]][0])
    trainings = "training" if last == 1 else "trainings"
    return f"their trend was followed to {course} {trainings}{opposite}"


def began_from_table(earlier: Sequence[Record]) -> list[list[str]]:
    """Rows in Markdown: a link to the study, its best value, its trials, its end, its share."""
    rows = [
        [
            _linked(study),
            "" if study["best"] is None else short(study["best"]),
            markdown(study["metric"]),
            str(study["trials"]),
            study["ended"],
            f"{study['share']:.0%}",
        ]
        for study in earlier[:MOST_ROWS]
    ]
    n_more = len(earlier) - len(rows)
    return rows + [[f"and {n_more} more", *[""] * 5]] * bool(n_more)


def worth_table(starts: Sequence[Record]) -> list[list[str]]:
    """Rows in Markdown: trial, what it was worth here, and the studies that it comes from."""
    return [
        [str(start["trial"]), _worth(start), markdown(", ".join(start["studies"]), 500)]
        for start in starts
    ]


def _relevant(earlier: Sequence[Record]) -> list[Record]:
    return [study for study in earlier if study["relevant"]]


def _worth(start: Record) -> str:
    if start["value"] is None:
        return str(start["state"])
    return f"{short(start['value'])}, rank {start['rank']} of {start['of']}"


def _details(study: Record) -> str:
    known = [] if study["best"] is None else [f"best {short(study['best'])}"]
    known += [study["ended"]] if study["ended"] else []
    return f" ({', '.join(known)})" if known else ""


def _linked(study: Record) -> str:
    name = markdown(study["name"])
    if study["url"]:
        return f"{name} ([run]({study['url']}))"
    return f"{name} ({code(study['reference'])})"


def _has_tried(space: SearchSpace, study: MappedStudy, trial: Trial) -> bool:
    return space.key(trial.params) in {space.key(params) for params in study.params}
