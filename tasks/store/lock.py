"""A lock with a heartbeat, seen from every machine that uses the same MLflow store.

MLflow has no locks, but every process can read what others have written. A process that wants a
lock writes a claim, a tag of its own on what it locks (a study's run, or a registered model), and
then reads all claims: if there is no other, it has the lock; else it deletes its claim and tries
again. Of two, the one that wrote last sees the other's claim, so that they never both have it.

On one machine a locked file comes first. The system frees it as soon as its process ends, however
that happens: a claim made under a file that we hold is that of a dead process. A living process of
another machine changes its claim with every heartbeat. Silence is counted in our own looks at it,
so that clocks which differ do no harm.

Prefect's concurrency limits renew leases in a similar way, but they are stored in one Prefect
server. Two machines may share the MLflow store, which is what must be protected, and run their
flows on Prefect servers of their own, as the commands do; a rollback needs no Prefect at all. So
the lock is stored in MLflow.
"""

import json
import logging
import os
import platform
import random
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from uuid import uuid4

from filelock import Timeout

from llmpso.errors import LLMPSOError
from llmpso.running.durable_files import (
    DAMAGED_FOLDER,
    DamagedError,
    read,
    replace_file,
    set_aside,
)
from llmpso.text import one_line
from tasks.store.claims import SILENT_LOOKS, Claims, Watch, facts_of, holder_text
from tasks.store.heartbeat import Heartbeat
from tasks.store.patience import STORE_ERRORS
from tasks.store.state_folders import lock_file

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""How long a lock is waited for that a living process holds."""

LOOK_SECONDS = 1.0
"""Pause between two looks at the claims of others."""

_PLACE = re.compile("[0-9a-f]{32}")
"""A name that no other file has."""


class Target(Protocol):
    """What is locked: it has tags in MLflow, and a file on this machine."""

    @property
    def prefix(self) -> str:
        """How the keys of claims begin."""
        ...

    def file(self) -> Path:
        """The file to lock, the same for all processes of this machine; its folder is made."""
        ...

    def usable(self) -> AbstractContextManager[None]:
        """Turns an `OSError` within the block into an error that says what to do."""
        ...

    def tags(self) -> Mapping[str, str]:
        """All tags."""
        ...

    def set_tag(self, key: str, text: str) -> None:
        """Write a tag."""
        ...

    def delete_tag(self, key: str) -> None:
        """Delete a tag, unless it is gone."""
        ...

    def busy(self, holders: str) -> LLMPSOError:
        """What is raised if living processes hold the lock; their names may not be known."""
        ...

    def taken_over(self, holders: str) -> LLMPSOError:
        """What is raised if others took the lock; they may have released it since."""
        ...


class Lock:
    """A lock that is held until it is released, or until its process ends in any way.

    Args:
        target: What is locked.
        patience: Seconds to wait for a living process of this machine.

    Raises:
        LLMPSOError: A living process holds it (`target.busy`), or the file cannot be used.
    """

    def __init__(self, target: Target, patience: float | None = None) -> None:
        self._target = target
        self._key = f"{target.prefix}{uuid4().hex}"
        self._taken: list[str] = []
        """Claims of dead processes; if one of them wakes, it finds its own here."""
        with target.usable():
            path = target.file()
            self._file = lock_file(path, path.parent / DAMAGED_FOLDER)
        seconds = PATIENCE_SECONDS if patience is None else patience
        deadline = time.monotonic() + seconds
        try:
            self._file.acquire(timeout=seconds)
        except Timeout:
            raise self._busy(self._claims().values()) from None
        try:
            with target.usable():
                self._place = _place(path)
            self._wait_for_others(deadline)
        except BaseException:
            self._give_up()
            raise
        self._heard_at = _awake_or_asleep()
        self._heartbeat = Heartbeat(self._beat)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def check(self) -> None:
        """Refuse to continue if others took the lock, as they do if this process was suspended.

        Raises:
            LLMPSOError: They did, and may hold the lock now (`target.taken_over`).
        """
        claims = self._claims()
        if self._is_taken(claims):
            others = (claim for key, claim in claims.items() if key != self._key)
            raise self._target.taken_over(", ".join(map(holder_text, others)))

    def check_after_silence(self) -> None:
        """Check, unless a beat was so recent that nobody can have taken the lock since."""
        silent = _awake_or_asleep() - self._heard_at
        if not self._heartbeat.is_running or silent > SILENT_LOOKS * LOOK_SECONDS / 2:
            self.check()

    def release(self) -> None:
        """Release the lock."""
        self._heartbeat.stop()
        self._give_up()

    def _wait_for_others(self, deadline: float) -> None:
        watch = Watch()
        while True:
            others = self._claims()
            watch.look(others)
            for key in [key for key in others if self._is_dead(key, others[key], watch)]:
                logger.warning(
                    "%s has ended: its lock is free again", holder_text(others.pop(key))
                )
                self._taken.append(key)
                self._target.delete_tag(key)
            if not others and self._claims_alone():
                return
            if time.monotonic() > deadline and any(map(watch.is_alive, others)):
                raise self._busy(others.values())
            # A random pause, so that two processes do not collide again and again.
            time.sleep(random.uniform(0, LOOK_SECONDS) if not others else LOOK_SECONDS)

    def _is_dead(self, key: str, claim: str, watch: "Watch") -> bool:
        return facts_of(claim).get("place") == self._place or watch.is_silent(key)

    def _claims_alone(self) -> bool:
        """Claim the lock, unless another process does at the same time."""
        self._sign(0)
        if set(self._claims()) == {self._key}:
            return True
        self._target.delete_tag(self._key)
        return False

    def _claims(self) -> Claims:
        prefix = self._target.prefix
        return {key: tag for key, tag in self._target.tags().items() if key.startswith(prefix)}

    def _beat(self, number: int) -> bool:
        """Change the claim; False if others took the lock."""
        heard_at = _awake_or_asleep()
        if self._is_taken(self._claims()):
            return False
        self._sign(number)
        self._heard_at = heard_at
        return True

    def _is_taken(self, claims: Claims) -> bool:
        """Whether others deleted the claim; it comes back if this process slept within a beat."""
        took = (str(facts_of(claim).get("took")) for claim in claims.values())
        return self._key not in claims or any(self._key in text for text in took)

    def _sign(self, beat: int) -> None:
        facts = {
            "place": self._place,
            "host": platform.node(),
            "process": os.getpid(),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "beat": beat,
            "took": self._taken,
        }
        self._target.set_tag(self._key, json.dumps(facts))

    def _busy(self, claims: Iterable[str]) -> LLMPSOError:
        return self._target.busy(", ".join(map(holder_text, claims)))

    def _give_up(self) -> None:
        try:
            self._target.delete_tag(self._key)
        except STORE_ERRORS as error:
            logger.warning(
                "the lock %s cannot be deleted in MLflow (%s): the next run removes it, once it "
                "finds that its process has ended",
                self._key,
                one_line(error, 200),
            )
        finally:
            self._file.release()


def _place(path: Path) -> str:
    """What names a locked file on all machines; the file must be held."""
    file = path.with_suffix(".place")
    try:
        text = read(file).decode("ascii") if os.path.lexists(file) else ""
        if text and not _PLACE.fullmatch(text):
            raise DamagedError("it is not what was written")
    except (DamagedError, UnicodeDecodeError) as error:
        set_aside(file, file.parent / DAMAGED_FOLDER, error)
        text = ""
    if not text:
        text = uuid4().hex
        replace_file(file, text)
    return f"{platform.node()} {text}"


def _awake_or_asleep() -> float:
    """Seconds that pass while the machine sleeps as well; those of `time.monotonic` do not."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
