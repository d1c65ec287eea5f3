"""One process at a time runs a study: a lock on this machine, a sign of life for the others."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from filelock import Timeout

from llmpso.running.durable_files import SHELF, made_folder
from tasks.patience import STORE_ERRORS
from tasks.state import lock_file, study_folder, usable_state
from tasks.tracking import StudyRun, client

ALIVE_TAG = "llmpso.alive"
SIGN_SECONDS = 60.0
DEAD_SECONDS = 5 * SIGN_SECONDS
"""Without a sign for so long, a study on another machine is taken to be dead."""


class Lease:
    """The right to run a study, until it is given up or its process ends in any way.

    Args:
        study: What is run; it gets a sign of life every minute.

    Raises:
        Timeout: Another process of this machine has it.
        StorageError: The folder of the study cannot be used.
    """

    def __init__(self, study: StudyRun) -> None:
        with usable_state(study.run_id):
            folder = made_folder(study_folder(study.run_id))
            self._lock = lock_file(folder / "lock", folder / SHELF)
            self._lock.acquire(timeout=0)
        self._study = study
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sign, name="sign of life", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Give the study up; another process may run it."""
        self._ended.set()
        self._thread.join()
        self._lock.release()

    def _sign(self) -> None:
        store = client(self._study.tracking_uri)
        while True:
            # A store that is away misses a sign; the next one may reach it.
            with suppress(*STORE_ERRORS):
                store.set_tag(self._study.run_id, ALIVE_TAG, str(int(time.time())))
            if self._ended.wait(SIGN_SECONDS):
                return


def claim(study: StudyRun, is_closed: bool, tags: Mapping[str, str]) -> Lease | None:
    """The lease of a study that nobody runs any more; None if somebody does.

    The lock decides on the machine that ran it, and is free as soon as that process is gone.
    """
    is_foreign = not study_folder(study.run_id).is_dir()
    signed = float(tags.get(ALIVE_TAG, "0"))
    if is_foreign and not is_closed and signed > time.time() - DEAD_SECONDS:
        return None
    try:
        return Lease(study)
    except Timeout:
        return None
