"""Let the previous version of a model serve again: `python -m flows.rollback MODEL`."""

import sys
from contextlib import nullcontext

from flows.command_line import new_app, run_module
from flows.events import rolled_back
from llmpso.errors import BusyModelError, LLMPSOError
from tasks.models.registry import Registry
from tasks.store.address import store_address

APP = new_app("rollback")


@APP.default
def rollback(model: str, *, now: bool = False) -> None:
    """Let the previous version of a model serve again; no server but MLflow is needed.

    A second call undoes the first.

    Args:
        model: Registered model.
        now: Do not wait for a run that retunes the model: it continues, and promotes nothing.
    """
    registry = Registry(store_address(), model)
    with registry.explained_errors():
        registry.check_exists()
        try:
            with nullcontext() if now else registry.retuning_lock():
                old, new = registry.roll_back()
        except BusyModelError as error:
            raise LLMPSOError(
                f"{error}; --now rolls back at once, and that run then promotes nothing"
            ) from error
    instead = f"in place of version {old}" if old else "where none did"
    print(f"{model}: version {new} serves again, {instead}")
    if unsent := rolled_back(model, old, new):
        print(unsent, file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.rollback"))
