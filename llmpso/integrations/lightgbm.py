"""LightGBM: `train(..., valid_sets=[data], callbacks=[ReportCallback("valid_0-l2")])`.

A callback of LightGBM is any callable, so that its package need not be imported here.
"""

from typing import Any

from llmpso.fidelity.report import report
from llmpso.integrations.monitor import Monitor


class ReportCallback:
    """Reports after each round; a metric that is better when higher is reported negated.

    Args:
        monitor: Name of a validation set and of a metric.
    """

    order = 20
    """Before the callback that stops early, which is 30."""

    def __init__(self, monitor: str) -> None:
        self._monitor = Monitor(monitor)

    def __call__(self, env: Any) -> None:
        """Report it."""
        # Cross-validation adds the standard deviation.
        figures = {
            f"{data}-{metric}": -value if is_higher_better else value
            for data, metric, value, is_higher_better, *_ in env.evaluation_result_list
        }
        step = env.iteration - env.begin_iteration + 1
        report(step, self._monitor.of(figures), total=env.end_iteration - env.begin_iteration)
