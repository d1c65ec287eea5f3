"""The other end of `llmpso.running.processes`: a process that evaluates one trial after the other.

Run as `python -m llmpso.running.worker DESCRIPTOR`, a connection that pickles come and go by: from
the parent, and from this process alone. It ends when its standard input does, as that of a parent
which was killed does.
"""

import os
import sys
import threading
from multiprocessing.connection import Connection

from llmpso.masking import mask_tracebacks
from llmpso.running import arrivals
from llmpso.running.process_tree import kill_tree
from llmpso.running.site import packed

_WRITING = threading.Lock()
"""Held while what was measured comes to the disk: also a parent that was killed has it then."""


def main(descriptor: int) -> None:
    """Serve until the parent hangs up."""
    mask_tracebacks()
    threading.Thread(target=_end_with_parent, args=(_taken_input(),), daemon=True).start()
    parent = Connection(descriptor)
    site, folder = parent.recv()
    site.prepare()
    parent.send(None)
    while True:
        try:
            trial = parent.recv()
        except EOFError:
            return
        outcome = site.outcome(trial)
        with _WRITING:
            path = arrivals.write(packed(outcome), folder)
        # Through a file: models are too large for a pipe.
        parent.send(path)


def _taken_input() -> int:
    """Standard input under another number; an objective that reads it finds it empty."""
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
