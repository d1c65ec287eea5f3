"""What a training logs to MLflow by itself, apart from our records: a run for each training.

MLflow begins a run at the first `mlflow.log_param` of a thread and continues it for the
thread's life, so that the second training of a thread would be refused as a change of the first.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from llmpso.extras import loaded
from llmpso.study.repeats import label
from llmpso.text import one_line
from llmpso.trial import Trial

logger = logging.getLogger(__name__)

TRIAL_TAG = "llmpso.trial"
"""On a run that a training began: number and source of its trial."""


@contextmanager
def apart(trial: Trial) -> Iterator[None]:
    """End the runs that a training began in this thread and left open."""
    try:
        yield
    finally:
        # A worker has MLflow only if the training imported it.
        mlflow = loaded("mlflow")
        while mlflow is not None and mlflow.active_run() is not None:
            _end(mlflow, trial)


def _end(mlflow: ModuleType, trial: Trial) -> None:
    """End the innermost run of this thread; one that its store does not let end stays open."""
    for action in (
        lambda: mlflow.set_tag(TRIAL_TAG, label(trial)),
        mlflow.end_run,
    ):
        try:
            action()
        except mlflow.exceptions.MlflowException as error:
            logger.warning("the run of trial %d's own: %s", trial.number, one_line(error))
