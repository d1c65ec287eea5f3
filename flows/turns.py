"""One retuning or rollback of a model at a time, whichever machine or terminal starts it."""

from collections.abc import Iterator
from contextlib import contextmanager

import mlflow

from tasks.model_lock import ModelLock, Purpose


@contextmanager
def only_run(model: str) -> Iterator[None]:
    """Hold the lock of a registered model for the length of the block.

    It stands in MLflow, beside what it protects: runs of different Prefect servers share it, and
    a rollback needs none.

    Raises:
        BusyModelError: Another run holds it.
        RegistryError: MLflow refuses the model's name.
    """
    lock = ModelLock(mlflow.get_tracking_uri(), model, Purpose.RETUNING)
    try:
        yield
    finally:
        lock.release()
