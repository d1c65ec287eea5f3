"""XGBoost: `train(..., evals=[(data, "valid")], callbacks=[ReportCallback("valid-rmse")])`."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmpso.fidelity.report import report
from llmpso.integrations.monitor import Monitor, library

with library("xgboost"):
    from xgboost.callback import TrainingCallback


class ReportCallback(TrainingCallback):
    """Reports after each round.

    Args:
        monitor: Name of an evaluation set and of a metric: `validation_0-rmse` in the estimators
            with scikit-learn's interface.
        maximise: Whether higher is better.
    """

    def __init__(self, monitor: str, *, maximise: bool = False) -> None:
        super().__init__()
        self._monitor = Monitor(monitor, maximise)

    def after_iteration(
        self, model: Any, epoch: int, evals_log: Mapping[str, Mapping[str, Sequence[Any]]]
    ) -> bool:
        """Report it; the training is not to stop in the way of XGBoost."""
        # Cross-validation adds the standard deviation.
        figures = {
            f"{data}-{metric}": values[-1][0] if isinstance(values[-1], tuple) else values[-1]
            for data, metrics in evals_log.items()
            for metric, values in metrics.items()
        }
        report(epoch + 1, self._monitor.of(figures))
        return False
