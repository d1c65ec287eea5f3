"""The other end of `llmpso.running.isolation`: a process that evaluates one trial after the other.

Run as `python -m llmpso.running.worker DESCRIPTOR`, a connection that pickles come and go by: from
the parent, and from this process alone. It ends when its standard input does, as that of a parent
which was killed does.
"""

import os
import pickle
import sys
import tempfile
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from llmpso.objectives.registry import build_objective
from llmpso.objectives.threads import limit_threads
from llmpso.running.evaluate import Outcome, evaluate_trial, failed_outcome


def main(descriptor: int) -> None:
    """Serve until the parent hangs up."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    parent = Connection(descriptor)
    spec, n_threads, scratch = parent.recv()
    objective = build_objective(spec)
    parent.send(None)
    while True:
        try:
            trial = parent.recv()
        except EOFError:
            return
        # A library may have changed it since.
        limit_threads(n_threads)
        parent.send(_written(evaluate_trial(objective, trial), scratch))


def _written(outcome: Outcome, scratch: str) -> Path:
    """Write the outcome, model included, to a file; models are too large for a pipe."""
    try:
        content = pickle.dumps(outcome)
    except Exception as error:  # noqa: BLE001 - a user's model may refuse in any way
        content = pickle.dumps(failed_outcome(outcome.trial, error, outcome.trial.seconds))
    with tempfile.NamedTemporaryFile(dir=scratch, delete=False) as file:
        file.write(content)
    return Path(file.name)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
