"""Let the previous version of a model serve again: `python -m flows.rollback MODEL`."""

import sys
from contextlib import nullcontext

import cyclopts

from flows.command import USAGE_ERROR
from flows.turns import only_run
from llmpso.errors import BusyModelError, LLMPSOError
from llmpso.masking import mask_tracebacks
from llmpso.text import one_line
from tasks.registry import check_registered, roll_back, store_answers
from tasks.store_address import store_address

app = cyclopts.App(name="python -m flows.rollback", version_flags=[])


@app.default
def rollback(model: str, *, now: bool = False) -> int:
    """Let the previous version of a model serve again; no server but MLflow is needed.

    A second call undoes the first.

    Args:
        model: Registered model.
        now: Do not wait for a run that retunes the model: it goes on, and promotes nothing.
    """
    mask_tracebacks()
    try:
        uri = store_address()
        with store_answers(uri, model):
            check_registered(uri, model)
            with nullcontext() if now else only_run(model):
                old, new = roll_back(uri, model)
    except BusyModelError as error:
        return _refuse(f"{error}; --now rolls back at once, and that run then promotes nothing")
    except LLMPSOError as error:
        return _refuse(str(error))
    instead = f"in place of version {old}" if old else "where none did"
    print(f"{model}: version {new} serves again, {instead}")
    return 0


def _refuse(message: str) -> int:
    print(f"error: {one_line(message, 2_000)}", file=sys.stderr)
    return USAGE_ERROR


if __name__ == "__main__":
    raise SystemExit(app())
