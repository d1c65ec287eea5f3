"""The other end of `llmpso.running.processes`: a process that evaluates one trial after the other.

Run as `python -m llmpso.running.worker DESCRIPTOR`, a connection that pickles come and go by: from
the parent, and from this process alone. It ends when its standard input does, as that of a parent
which was killed does.
"""

import os
import sys
import tempfile
import threading
from multiprocessing.connection import Connection
from pathlib import Path


def main(descriptor: int) -> None:
    """Serve until the parent hangs up."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    parent = Connection(descriptor)
    site, scratch = parent.recv()
    site.prepare()
    parent.send(None)
    while True:
        try:
            trial = parent.recv()
        except EOFError:
            return
        parent.send(_written(site.measure(trial), scratch))


def _written(content: bytes, scratch: str) -> Path:
    """Write an outcome, model included, to a file; models are too large for a pipe."""
    with tempfile.NamedTemporaryFile(dir=scratch, delete=False) as file:
        file.write(content)
    return Path(file.name)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
