"""What a training logs to MLflow by itself, apart from our records: a run for each training.

MLflow begins a run at the first `mlflow.log_param` of a thread and goes on with it for the
thread's life, so that the second training of a thread would be refused as a change of the first.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from llmpso.trial import Trial

TRIAL_TAG = "llmpso.trial"
"""On a run that a training began: number and source of its trial."""


@contextmanager
def apart(trial: Trial) -> Iterator[None]:
    """End the runs that a training began in this thread and left open."""
    try:
        yield
    finally:
        # A worker has MLflow only if the training brought it along.
        mlflow = sys.modules.get("mlflow")
        while mlflow is not None and mlflow.active_run() is not None:
            mlflow.set_tag(TRIAL_TAG, f"{trial.number:03d} {trial.source}")
            mlflow.end_run()
