"""A heartbeat: calls a function at regular intervals, in a thread that ends with its process."""

import threading
from collections.abc import Callable
from contextlib import suppress

from tasks.store.patience import STORE_ERRORS

BEAT_SECONDS = 5.0
"""How often a process shows that it is alive."""


class Heartbeat:
    """Calls `beat` with 1, 2, 3, … every few seconds until it is stopped, or `beat` returns False.

    A beat that the store does not take is left out; the next one may reach it.
    """

    def __init__(self, beat: Callable[[int], bool]) -> None:
        self._beat = beat
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it continues."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it, without waiting for a beat that is blocked by an unavailable store."""
        self._stopped.set()
        self._thread.join(BEAT_SECONDS)

    def _run(self) -> None:
        number, continues = 0, True
        while continues and not self._stopped.wait(BEAT_SECONDS):
            number += 1
            with suppress(*STORE_ERRORS):
                continues = self._beat(number)
