"""What the machine did while a study ran, on the tab *System metrics* of its run in MLflow."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from tasks.store.tracker import Tracker


@contextmanager
def system_metrics(study: Tracker, *, are_wanted: bool) -> Iterator[None]:
    """Record CPU, memory, disk, network and GPU every ten seconds, in a thread.

    A store that does not answer costs points of these curves, never the study.

    Args:
        study: Where they go; a resumed one goes on where its curves ended.
        are_wanted: Nothing is recorded otherwise.
    """
    if not are_wanted:
        yield
        return
    monitor = SystemMetricsMonitor(
        study.run_id, tracking_uri=study.tracking_uri, resume_logging=True
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
