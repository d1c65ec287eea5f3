"""Lightning: `Trainer(callbacks=[ReportCallback("val_loss")])`."""

from typing import Any

from llmpso.fidelity.report import report
from llmpso.integrations.monitor import Monitor, library

with library("lightning"):
    from lightning.pytorch import Callback


class ReportCallback(Callback):
    """Reports after each epoch that ended with a validation.

    Args:
        monitor: A metric that the module logs in its validation.
        maximise: Whether higher is better.
    """

    def __init__(self, monitor: str = "val_loss", *, maximise: bool = False) -> None:
        self._monitor = Monitor(monitor, maximise)
        self._is_new = False

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Note that there is a new value; the first one of all only tests the code."""
        self._is_new = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Report it."""
        if self._is_new:
            self._is_new = False
            total = trainer.max_epochs if (trainer.max_epochs or 0) > 0 else None
            value = self._monitor.of(trainer.callback_metrics)
            report(trainer.current_epoch + 1, value, total=total)
