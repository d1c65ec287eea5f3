"""What a process of `llmpso serve` loads: the flows, whatever the working directory holds.

Prefect searches the working directory first when it loads a flow, where it would take a user's
`flows.py`, `tasks.py` or `mlflow/` for ours or a library's.
"""

import os
import sys

from llmpso.user_code.safe_path import forget_working_directory

forget_working_directory()
# Last: a clone that is not installed is found there, and a user's objective.
sys.path.append(os.getcwd())

from flows.predict import predict  # noqa: E402
from flows.retune import retune  # noqa: E402
from flows.tune import tune  # noqa: E402

__all__ = ["predict", "retune", "tune"]
