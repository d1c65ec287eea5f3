"""The worker's side of `llmpso.running.process_pool`: evaluates one trial after the other.

Run as `python -m llmpso.running.worker_process DESCRIPTOR`: the descriptor of a connection over
which parent and worker exchange pickles; no other process has it. The process ends when its
standard input is closed, which also happens when the parent is killed.
"""

import os
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from llmpso.errors import LLMPSOError
from llmpso.masking import mask_tracebacks
from llmpso.running.outcome import outcome_to_bytes
from llmpso.running.outcome_files import write_outcome
from llmpso.running.process_tree import kill_tree

_WRITING = threading.Lock()
"""Held while a result is written to disk, so that it survives a kill of the parent."""


def main(descriptor: int) -> None:
    """Serve until the parent closes the connection."""
    mask_tracebacks()
    threading.Thread(target=_end_with_parent, args=(_taken_input(),), daemon=True).start()
    parent = Connection(descriptor)
    context, folder = parent.recv()
    try:
        context.prepare()
    except LLMPSOError as error:
        parent.send(error)
        return
    parent.send(None)
    while True:
        try:
            trial = parent.recv()
        except (EOFError, ConnectionError):  # the latter if it was killed
            return
        outcome = context.outcome(trial)
        with _WRITING:
            path = write_outcome(outcome_to_bytes(outcome), folder)
        # Through a file: models are too large for a pipe.
        with suppress(ConnectionError):
            parent.send(path)


def _taken_input() -> int:
    """A duplicate of standard input; an objective that reads standard input finds it empty."""
    taken = os.dup(0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return taken


def _end_with_parent(parent: int) -> None:
    while os.read(parent, 1):
        pass
    kill_tree(os.getpid(), spares_leader=True)
    with _WRITING:
        os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
