"""Prefect's artifacts of a running study: a progress bar and the best trials so far.

If they cannot be updated, there is one warning and the study continues without them.
"""

import json
import time
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.exceptions import PrefectException

from flows.display.progress import StudyProgress
from llmpso.escaping import markdown
from llmpso.goals import Goals
from llmpso.text import one_line, plural, short
from llmpso.trial import Trial, ranked

UNAVAILABLE = (httpx.HTTPError, PrefectException)
"""Errors if Prefect's server does not answer, or refuses."""

PAUSE_SECONDS = 2.0
"""Shortest time between two updates, so that quick evaluations do not wait for them."""

MOST_ROWS = 10

COLUMNS = ("rank", "trial", "source", "seconds")
"""Columns of the leaderboard that every study has."""


class PrefectPage:
    """The progress artifact and the leaderboard of the flow run around it.

    Args:
        study: The state that they show.
    """

    def __init__(self, study: StudyProgress) -> None:
        self._study = study
        self._progress: UUID | None = None
        self._leaders: UUID | None = None
        self._next = time.monotonic()
        self._is_unavailable = False

    def show(self, *, is_last: bool = False) -> None:
        """Update both, unless they were updated a moment ago or Prefect is unavailable."""
        if self._is_unavailable or (time.monotonic() < self._next and not is_last):
            return
        try:
            self._show_progress()
            self._show_leaders()
        except UNAVAILABLE as error:
            self._is_unavailable = True
            get_run_logger().warning("Prefect's progress bar is no longer updated: %s", error)
        self._next = time.monotonic() + PAUSE_SECONDS

    def _show_progress(self) -> None:
        share = min(100.0, 100.0 * self._study.spent / self._study.budget)
        text = self._description()
        if self._progress is None:
            made = create_progress_artifact(share, key="progress", description=text)
            self._progress = cast(UUID, made)
        else:
            update_progress_artifact(self._progress, share, description=text)

    def _description(self) -> str:
        study, seconds = self._study, self._study.seconds_left
        text = f"{study.done} of {plural(study.budget, 'evaluation')}"
        if study.paused:
            text += f", {plural(len(study.paused), 'training')} paused"
        if study.best is not None:
            best = short(study.best.value)
            text += f", best {markdown(study.metric)} {best} (from {study.best.source})"
        return f"{text}, about {seconds / 60:.0f} min left" if seconds else text

    def _show_leaders(self) -> None:
        rows = leaderboard(self._study.trials, self._study.metric)
        if rows and self._leaders is None:
            made = create_table_artifact(
                rows, key="leaderboard", description="The best trials so far"
            )
            self._leaders = cast(UUID, made)
        elif rows and self._leaders is not None:
            # A new one each time would add a card to the page.
            with get_client(sync_client=True) as prefect:
                prefect.update_artifact(self._leaders, ArtifactUpdate(data=json.dumps(rows)))


def leaderboard(trials: Sequence[Trial], metric: str) -> list[dict[str, Any]]:
    """The best trials, one row each; a dash where a hyperparameter does not count.

    Of several goals those of the front, the lowest first goal first.
    """
    first = trials[0].goals if trials else ()
    best = (Goals(first).front(trials) if first else ranked(trials))[:MOST_ROWS]
    names = list(dict.fromkeys(name for trial in best for name in trial.params))
    return [
        {
            "rank": rank,
            one_line(metric): short(trial.value),
            **{one_line(name): short(trial.values[name]) for name in trial.goals[1:]},
            "trial": trial.number,
            "source": str(trial.source),
            "seconds": f"{trial.seconds:.1f}",
        }
        | {_column(n, metric): short(trial.params[n]) if n in trial.params else "–" for n in names}
        for rank, trial in enumerate(best, start=1)
    ]


def _column(name: str, metric: str) -> str:
    """The column of a hyperparameter; renamed if another column has its name."""
    shown = one_line(name)
    return f"{shown} (hyperparameter)" if shown in (*COLUMNS, one_line(metric)) else shown
