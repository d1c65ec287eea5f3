"""What ties a study to MLflow and Prefect: records, registry, locks, files, and Prefect tasks."""

import os
import sys

from llmpso.loopback import spare_loopback

ENVIRONMENT = {
    # No usage data is sent: not by Prefect's server, not by its client, which else does as the
    # server says and prints a notice, and not by MLflow and Ray.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    # On a busy machine a temporary server may need longer than 20 s.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # Task runs are recorded in batches, a second late: one by one is half of all the server does.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Records that MLflow does not accept immediately wait on disk, so few HTTP retries suffice.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""Settings for Prefect, MLflow and Ray where the user has not set them."""


def _set_environment() -> None:
    """Set the environment; libraries that read it when they were imported read it again.

    A notebook imports them in any order, and a worker of Prefect's has Prefect first.
    """
    missing = {name: text for name, text in ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(missing)
    if missing and "prefect.context" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
    if missing and "mlflow.telemetry" in sys.modules:
        from mlflow.telemetry import set_telemetry_client

        set_telemetry_client()


_set_environment()
# Neither Prefect's server nor MLflow's is behind a proxy where they run on this machine.
spare_loopback()
