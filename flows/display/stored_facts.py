"""What is known of a stored study, by name: for the terminal, JSON and the page."""

import math
from collections.abc import Mapping
from typing import Any

from flows.display.summary import STOPPED
from llmpso.study.facts import facts
from llmpso.study.trial_rows import trial_rows
from tasks.records.stored_study import StoredStudy

TAGS = {"method": "method", "advisor": "language model", "memory": "memory", "notes": "notes"}
"""Tags of a study that are shown, and how they are called."""


def stored_facts(stored: StoredStudy) -> dict[str, str]:
    """All facts, the state first."""
    tags = stored.tags
    reasons = {str(reason): words for reason, words in STOPPED.items()}
    # A run that went further, and failed or runs, has the reason of the end before it.
    ended = reasons.get(tags.get("stop_reason", "")) if stored.is_finished else ""
    began = f"{stored.began:%Y-%m-%d %H:%M}, {duration(stored.seconds)} until "
    found = {"state": f"{stored.status}{f': {ended}' if ended else ''}"}
    found["began"] = began + ("now" if stored.is_running else "its end")
    found |= facts(stored.trials, stored.best, stored.metric, stored.result.expected)
    return found | {name: tags[tag] for tag, name in TAGS.items() if tags.get(tag)}


def stored_record(stored: StoredStudy) -> dict[str, Any]:
    """Everything as plain values, for scripts."""
    best = stored.best
    return {
        "study": stored.name,
        "run_id": stored.tracker.run_id,
        "metric": stored.metric,
        "state": stored.status,
        "is_running": stored.is_running,
        "best": None if best is None else best.number,
        "trials": [_finite(row) for row in trial_rows(stored.trials)],
        "running": [
            {"number": trial.number, "source": trial.source, "begun_at": trial.begun_at}
            | {f"params.{name}": value for name, value in trial.params.items()}
            for trial in stored.running
        ],
    }


def duration(seconds: float) -> str:
    """Seconds, minutes or hours in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row that every reader of JSON takes: NaN is none of its numbers."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
