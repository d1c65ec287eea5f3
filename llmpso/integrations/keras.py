"""Keras 3: `model.fit(..., callbacks=[ReportCallback()])`."""

from collections.abc import Mapping
from typing import Any

from llmpso.fidelity.report import report
from llmpso.integrations.monitor import Monitor, library

with library("keras"):
    from keras.callbacks import Callback


class ReportCallback(Callback):
    """Reports after each epoch.

    Args:
        monitor: A metric of `fit`; those of the validation data have the prefix `val_`.
        maximise: Whether higher is better.
    """

    def __init__(self, monitor: str = "val_loss", *, maximise: bool = False) -> None:
        super().__init__()
        self._monitor = Monitor(monitor, maximise)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report it."""
        report(epoch + 1, self._monitor.of(logs or {}), total=self.params["epochs"])
