"""Hugging Face: `Trainer(..., callbacks=[ReportCallback()])`."""

import math
from typing import Any

from llmpso.fidelity.report import report
from llmpso.integrations.monitor import Monitor, library

with library("transformers"):
    from transformers import TrainerCallback


class ReportCallback(TrainerCallback):
    """Reports each evaluation during the training.

    Trainers that train at once need processes of their own: threads share the library's state.

    Steps are epochs if the trainer evaluates once per epoch, else steps of the optimizer.

    Args:
        monitor: A metric of the evaluation, with its prefix `eval_`.
        maximise: Whether higher is better.
    """

    def __init__(self, monitor: str = "eval_loss", *, maximise: bool = False) -> None:
        self._monitor = Monitor(monitor, maximise)
        self._is_training = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Evaluations count from now on."""
        self._is_training = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An evaluation after the training is none of its steps."""
        self._is_training = False

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any
    ) -> None:
        """Report it."""
        if not self._is_training:
            return
        value = self._monitor.of(metrics)
        if args.eval_strategy == "epoch":
            report(round(state.epoch), value, total=math.ceil(args.num_train_epochs))
        else:
            report(state.global_step, value, total=state.max_steps)
