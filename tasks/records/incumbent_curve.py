"""The curve of a study's best value in MLflow: one point for each trial that improved it."""

import threading

from llmpso.trial import Trial
from tasks.store.patience import recording
from tasks.store.tracker import INCUMBENT, Tracker


class IncumbentCurve:
    """Points that MLflow has, and points on the way there.

    Args:
        study: Whose curve it is.
    """

    def __init__(self, study: Tracker) -> None:
        self._study = study
        self._known = study.incumbents()
        self._waiting: list[tuple[int, float]] = []
        self._lock = threading.Lock()

    def add(self, trial: Trial | None) -> bool:
        """Let a point wait for the next delivery; False if it has none, or a known one."""
        if trial is None or trial.value is None or trial.number in self._known:
            return False
        self._known.add(trial.number)
        self._waiting.append((trial.number, trial.value))
        return True

    def deliver(self) -> None:
        """Write all points that wait, also those that an earlier attempt did or did not write.

        Raises:
            StorageError: MLflow refused them.
            MlflowException: MLflow does not answer; also an `OSError`.
        """
        with self._lock:
            points = self._waiting.copy()
            if points:
                with recording("the best value"):
                    self._study.record_curve(INCUMBENT, points)
            del self._waiting[: len(points)]
