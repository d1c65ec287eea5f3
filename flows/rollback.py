"""Let the previous version of a model serve again: `python -m flows.rollback MODEL`."""

import sys

import cyclopts
import mlflow

from flows.command import USAGE_ERROR
from llmpso.errors import LLMPSOError
from tasks.registry import roll_back

app = cyclopts.App(name="python -m flows.rollback", version_flags=[])


@app.default
def rollback(model: str) -> int:
    """Let the previous version of a model serve again; no server but MLflow is needed.

    A second call undoes the first.

    Args:
        model: Registered model.
    """
    try:
        old, new = roll_back(mlflow.get_tracking_uri(), model)
    except LLMPSOError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    print(f"{model}: version {new} serves again, in place of version {old}")
    return 0


if __name__ == "__main__":
    raise SystemExit(app())
