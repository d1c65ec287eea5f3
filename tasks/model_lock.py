"""A lock on a registered model, seen from every machine that uses the same MLflow store.

MLflow has no locks, but everybody can read there what anybody has written. Who wants a lock writes
a claim, a tag of its own on the registered model, and then reads all claims: if there is no other,
the lock is its own; else it takes the claim back and tries again. Of two, the one that wrote last
sees the other's claim, so that they never both have the lock.

On one machine a locked file comes first. The system frees it as soon as its process ends, however
that happens: a claim made under a file that we hold is that of a dead process. A living process of
another machine changes its claim every few seconds. Silence is counted in our own looks at it, so
that clocks which differ do no harm.
"""

import json
import logging
import os
import platform
import random
import re
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import Timeout
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException

from llmpso.errors import BusyModelError, RegistryError
from llmpso.running.durable_files import (
    SHELF,
    DamagedError,
    made_folder,
    read,
    replace_file,
    set_aside,
)
from llmpso.running.fingerprint import digest
from llmpso.text import one_line
from tasks.patience import STORE_ERRORS
from tasks.state import lock_file, state_folder, writable
from tasks.tracking import client, suppress_code

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""How long a lock is waited for that a living process holds."""

BEAT_SECONDS = 5.0
"""How often a process shows that it is alive."""

LOOK_SECONDS = 1.0
"""Pause between two looks at the claims of others."""

SILENT_LOOKS = 60
"""A claim that stays the same over so many looks is that of a dead process."""

_PLACE = re.compile("[0-9a-f]{32}")
"""A name that no other file has."""

Claims = dict[str, str]
"""Tags of a registered model that claim a lock; each holds who it is, as JSON."""


class Purpose(StrEnum):
    """What a lock is for."""

    RETUNING = "retuning"
    """Held for as long as a run may change what serves."""
    SERVING = "serving"
    """Held for the moment in which aliases move."""


class ModelLock:
    """A lock that is held until it is released, or until its process ends in any way.

    Args:
        uri: The store.
        model: A registered model; made, without a version, if it is not there.
        purpose: What is locked.

    Raises:
        BusyModelError: A living process holds it.
    """

    def __init__(self, uri: str, model: str, purpose: Purpose) -> None:
        registered = _registered(uri, model)
        self._store, self._model, self._purpose = client(uri), model, purpose
        self._key = f"{_prefix(purpose)}{uuid4().hex}"
        folder = state_folder() / "locks"
        with writable("locks of models", folder):
            path = _lock_path(folder, registered, purpose)
            self._file = lock_file(path, path.parent / SHELF)
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            self._file.acquire(timeout=PATIENCE_SECONDS)
        except Timeout:
            raise _busy(model, _claims(registered, purpose).values()) from None
        try:
            with writable("locks of models", folder):
                self._place = _place(path)
            self._wait_until_alone(deadline)
        except BaseException:
            self._give_up()
            raise
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="model lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Refuse to go on if others took this process for dead, as they do if it was suspended.

        Raises:
            BusyModelError: They did, and may hold the lock now.
        """
        claims = self._claims()
        if self._key not in claims:
            raise _busy(self._model, claims.values())

    def release(self) -> None:
        """Give the lock up."""
        self._ended.set()
        # It may be waiting for a store that is away.
        self._thread.join(BEAT_SECONDS)
        self._give_up()

    def _wait_until_alone(self, deadline: float) -> None:
        watch = _Watch()
        while True:
            others = self._claims()
            watch.look(others)
            for key in [key for key in others if self._is_dead(key, others[key], watch)]:
                logger.warning("%s has ended: it is free again", _holder(others.pop(key)))
                self._store.delete_registered_model_tag(self._model, key)
            if not others and self._is_alone():
                return
            if time.monotonic() > deadline and any(map(watch.is_alive, others)):
                raise _busy(self._model, others.values())
            # Two that met once do not go on meeting.
            time.sleep(random.uniform(0, LOOK_SECONDS) if not others else LOOK_SECONDS)

    def _is_dead(self, key: str, claim: str, watch: "_Watch") -> bool:
        return _facts(claim).get("place") == self._place or watch.is_silent(key)

    def _is_alone(self) -> bool:
        """Claim the lock, unless somebody else does at the same time."""
        self._sign(0)
        if set(self._claims()) == {self._key}:
            return True
        self._store.delete_registered_model_tag(self._model, self._key)
        return False

    def _claims(self) -> Claims:
        return _claims(self._store.get_registered_model(self._model), self._purpose)

    def _sign(self, beat: int) -> None:
        facts = {
            "place": self._place,
            "host": platform.node(),
            "process": os.getpid(),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "beat": beat,
        }
        self._store.set_registered_model_tag(self._model, self._key, json.dumps(facts))

    def _beat(self) -> None:
        beat = 0
        while not self._ended.wait(BEAT_SECONDS):
            # A store that is away misses a beat; it is read by nobody meanwhile.
            with suppress(*STORE_ERRORS):
                if self._key not in self._claims():
                    return
                self._sign(beat := beat + 1)

    def _give_up(self) -> None:
        try:
            self._store.delete_registered_model_tag(self._model, self._key)
        except STORE_ERRORS as error:
            logger.warning(
                "the lock on %r cannot be taken back (%s): the next run takes it, once it finds "
                "that its process has ended",
                self._model,
                one_line(error, 200),
            )
        finally:
            self._file.release()


class _Watch:
    """How long claims have been the same, in looks at them."""

    def __init__(self) -> None:
        self._seen: Claims = {}
        self._n_same: dict[str, int] = {}
        self._alive: set[str] = set()

    def look(self, claims: Claims) -> None:
        for key, claim in claims.items():
            is_same = self._seen.get(key) == claim
            self._n_same[key] = self._n_same.get(key, 0) + 1 if is_same else 0
            if key in self._seen and not is_same:
                self._alive.add(key)
        self._seen = dict(claims)

    def is_silent(self, key: str) -> bool:
        return self._n_same[key] >= SILENT_LOOKS

    def is_alive(self, key: str) -> bool:
        """Whether it changed while we looked."""
        return key in self._alive


def _registered(uri: str, model: str) -> RegisteredModel:
    """A model by its name; made if it is not there."""
    store = client(uri)
    try:
        with suppress_code("RESOURCE_DOES_NOT_EXIST"):
            return store.get_registered_model(model)
        # Another process may make it in the meantime.
        with suppress_code("RESOURCE_ALREADY_EXISTS"):
            return store.create_registered_model(model)
        return store.get_registered_model(model)
    except MlflowException as error:
        # Not found, though it cannot be made: a prompt has the name.
        if error.error_code not in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
            raise
        raise RegistryError(
            f"model is {model!r}, which MLflow refuses as a name ({one_line(error, 200)}); "
            "choose another with --model"
        ) from error


def _prefix(purpose: Purpose) -> str:
    return f"llmpso.{purpose}."


def _claims(model: RegisteredModel, purpose: Purpose) -> Claims:
    return {key: tag for key, tag in model.tags.items() if key.startswith(_prefix(purpose))}


def _facts(claim: str) -> dict[str, Any]:
    """Who claims; nothing if somebody else wrote it."""
    try:
        facts = json.loads(claim)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _holder(claim: str) -> str:
    facts = _facts(claim)
    return f"process {facts.get('process', '?')} on {facts.get('host', '?')}"


def _busy(model: str, claims: Iterable[str]) -> BusyModelError:
    holders = ", ".join(map(_holder, claims))
    return BusyModelError(
        f"another run retunes {model!r} at this moment{f' ({holders})' if holders else ''}; let "
        "it end, and give each model one deployment only"
    )


def _lock_path(folder: Path, model: RegisteredModel, purpose: Purpose) -> Path:
    """The same file for the same model, under whatever address its store is reached."""
    return made_folder(folder) / digest([model.name, model.creation_timestamp, purpose])[:32]


def _place(path: Path) -> str:
    """What names a locked file on all machines; the file must be held."""
    file = path.with_suffix(".place")
    try:
        text = read(file).decode("ascii") if os.path.lexists(file) else ""
        if text and not _PLACE.fullmatch(text):
            raise DamagedError("it is not what was written")
    except (DamagedError, UnicodeDecodeError) as error:
        set_aside(file, file.parent / SHELF, error)
        text = ""
    if not text:
        text = uuid4().hex
        replace_file(file, text)
    return f"{platform.node()} {text}"
