"""What Prefect shows of a study while it runs: a bar that moves, and the best trials so far.

A page that cannot be updated is a warning, once; the study goes on without.
"""

import json
import time
from collections.abc import Sequence
from typing import Any
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

from flows.summary import short
from llmpso.trial import Trial

AWAY = (httpx.HTTPError, PrefectException)
"""What is raised where Prefect does not answer, or refuses."""

PAUSE_SECONDS = 2.0
"""Least time between two updates: a study of quick evaluations must not wait for its page."""

MOST_ROWS = 10


class PrefectPage:
    """The progress artifact and the leaderboard of the flow run around it.

    Args:
        budget: Evaluations in all.
        metric: Name and unit of the value.
    """

    def __init__(self, budget: int, metric: str) -> None:
        self._budget = budget
        self._metric = metric
        self._progress: UUID | None = None
        self._leaders: UUID | None = None
        self._begin = self._next = time.monotonic()
        self._is_away = False

    def show(self, trials: Sequence[Trial], *, is_last: bool = False) -> None:
        """Update both, unless that was done a moment ago, or Prefect is away."""
        if self._is_away or (time.monotonic() < self._next and not is_last):
            return
        try:
            self._show_progress(trials)
            self._show_leaders(trials)
        except AWAY as error:
            self._is_away = True
            get_run_logger().warning("Prefect's page of the study is not updated: %s", error)
        self._next = time.monotonic() + PAUSE_SECONDS

    def _show_progress(self, trials: Sequence[Trial]) -> None:
        share, text = 100.0 * len(trials) / self._budget, self._told(trials)
        if self._progress is None:
            self._progress = create_progress_artifact(share, key="progress", description=text)
        else:
            update_progress_artifact(self._progress, share, description=text)

    def _told(self, trials: Sequence[Trial]) -> str:
        left = self._budget - len(trials)
        seconds = (time.monotonic() - self._begin) / max(1, len(trials)) * left
        text = f"{len(trials)} of {self._budget} evaluations"
        if best := leaders(trials)[:1]:
            text += f", best {self._metric} {short(best[0].value)} (from {best[0].source})"
        return f"{text}, about {seconds / 60:.0f} min left" if trials and left else text

    def _show_leaders(self, trials: Sequence[Trial]) -> None:
        rows = leaderboard(trials, self._metric)
        if rows and self._leaders is None:
            self._leaders = create_table_artifact(
                rows, key="leaderboard", description="The best trials so far"
            )
        elif rows:
            # Created anew, it would be one more card on the page each time.
            with get_client(sync_client=True) as prefect:
                prefect.update_artifact(self._leaders, ArtifactUpdate(data=json.dumps(rows)))


def leaders(trials: Sequence[Trial]) -> list[Trial]:
    """The completed trials, the best first."""
    completed = [trial for trial in trials if trial.value is not None]
    return sorted(completed, key=lambda trial: (trial.value, trial.number))


def leaderboard(trials: Sequence[Trial], metric: str) -> list[dict[str, Any]]:
    """The best trials, one row each."""
    return [
        {
            "rank": rank,
            metric: short(trial.value),
            "trial": trial.number,
            "source": str(trial.source),
            **{name: short(value) for name, value in trial.params.items()},
            "seconds": f"{trial.seconds:.1f}",
        }
        for rank, trial in enumerate(leaders(trials)[:MOST_ROWS], start=1)
    ]
