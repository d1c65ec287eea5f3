"""What a person sees while a study runs: a bar on a terminal, a log line per trial anywhere."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from llmpso.trial import Trial, TrialState


class TrialProgress:
    """Hears of each trial as it ends, keeps the best and shows both.

    Args:
        budget: Evaluations in all.
        metric: Name and unit of the value.
        logger: Gets a line per trial.
        bar: Shown beside the log, where there is a terminal.
    """

    def __init__(
        self,
        budget: int,
        metric: str,
        logger: logging.Logger | logging.LoggerAdapter,
        bar: Progress,
    ) -> None:
        self._budget = budget
        self._logger = logger
        self._bar = bar
        self._task = bar.add_task(metric, total=budget, best="–", source="")
        self._done = 0
        self.best: Trial | None = None

    def __call__(self, trial: Trial) -> None:
        """Count one trial, unless its training goes on."""
        if trial.state is TrialState.PENDING:
            return
        self._done += 1
        improved = trial.value is not None and (
            self.best is None or self.best.value is None or trial.value < self.best.value
        )
        if improved:
            self.best = trial
            self._bar.update(self._task, best=f"{trial.value:.5g}", source=f"({trial.source})")
        self._bar.advance(self._task)
        self._logger.info("%d/%d  %s", self._done, self._budget, _line(trial, improved))


@contextmanager
def trial_progress(
    budget: int, metric: str, logger: logging.Logger | logging.LoggerAdapter
) -> Iterator[TrialProgress]:
    """A progress display for the length of the block; the bar only on a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("best [bold]{task.fields[best]}[/] {task.fields[source]}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        yield TrialProgress(budget, metric, logger, bar)


def _line(trial: Trial, improved: bool) -> str:
    params = ", ".join(f"{name}={_short(value)}" for name, value in trial.params.items())
    if trial.failure is not None:
        return f"failed ({trial.failure.kind}: {trial.failure.message})  {trial.source}  {params}"
    if trial.state is TrialState.PRUNED:
        fidelity, value = trial.rungs[-1]
        return f"stopped at {fidelity:.0%} with {value:.5g}  {trial.source}  {params}"
    mark = "  ← best so far" if improved else ""
    return f"{trial.value:.5g}  {trial.source}  {params}{mark}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
