"""Which version of a model serves: changed in one step that survives the death of its process.

A change takes several writes, and MLflow makes one at a time. What is to be changed is therefore
recorded first, on the registered model; then `@champion` moves, and all else follows. If a change
was interrupted, the next process writes the rest where `@champion` has moved, and drops it where
not: nothing was changed then.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mlflow.entities.model_registry import RegisteredModel

from llmpso.errors import ChampionChangedError, RegistryError
from tasks.store.client import client, suppress_code
from tasks.store.lock import Lock
from tasks.store.lock_targets import Purpose, model_lock

logger = logging.getLogger(__name__)

CHAMPION, PREVIOUS = "champion", "previous"
"""Aliases of the version that serves, and of the one that served before."""

CHANGE_TAG = "llmpso.change"
"""On a registered model: the last change of what serves."""


@dataclass(frozen=True, slots=True)
class Aliases:
    """Versions by alias; empty where no version has it."""

    champion: str
    previous: str


@dataclass(frozen=True, slots=True)
class Change:
    """A change of what serves, as it is recorded."""

    before: Aliases
    after: Aliases
    marks: Mapping[str, Mapping[str, str]]
    """Tags, by version, that say what happened; written once it has."""
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Serving:
    """The aliases of one registered model: which version serves, and which one served before."""

    tracking_uri: str
    model: str

    def find(self) -> RegisteredModel | None:
        """The registered model; None if there is none of the name."""
        with suppress_code("RESOURCE_DOES_NOT_EXIST"):
            return self._registered()
        return None

    def aliases(self) -> Aliases:
        """What serves, and what served before; the alias of a version that is gone is none."""
        model = self._registered()
        return Aliases(*(self._named_by(model, alias) for alias in (CHAMPION, PREVIOUS)))

    def last_change(self) -> Change | None:
        """The last change of what serves; None if there was none.

        Raises:
            RegistryError: The record of it is damaged.
        """
        text = self._registered().tags.get(CHANGE_TAG)
        if text is None:
            return None
        try:
            return _change(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RegistryError(
                f"tag {CHANGE_TAG} of model {self.model!r} is damaged; see in MLflow's pages that "
                "its aliases are right, and delete the tag"
            ) from error

    def change(self, *, expected: str, to: str, marks: Mapping[str, Mapping[str, str]]) -> None:
        """Let another version serve, unless what serves is not what the decision was about.

        Args:
            expected: The version that served when it was decided; empty for none.
            to: The version that is to serve; what serves becomes the previous one.
            marks: Tags, by version, that say what happened.

        Raises:
            ChampionChangedError: Another version serves; nothing was changed.
            BusyModelError: Another process changes it at this moment.
        """
        with self._lock() as lock:
            self._settle()
            before = self.aliases()
            lock.check()
            self.check(expected)
            previous = before.champion or before.previous
            change = Change(before, Aliases(to, "" if previous == to else previous), marks)
            self._write_down(change)
            client(self.tracking_uri).set_registered_model_alias(self.model, CHAMPION, to)
            self._complete(change)

    def check(self, expected: str) -> None:
        """Refuse to decide about a version that does not serve any more.

        Raises:
            ChampionChangedError: Another version has the alias, or none.
        """
        now = self.aliases()
        if now.champion != expected:
            raise ChampionChangedError(
                f"{_named(now.champion)} of {self.model!r} serves now, and this run compared with "
                f"{_named(expected)}: nothing was changed; start again, to compare with what "
                "serves"
            )

    def settle(self) -> None:
        """Complete a change whose process was killed.

        Raises:
            RegistryError: The record of it is damaged.
            BusyModelError: Another process changes what serves at this moment.
        """
        if self.find() is None or self._is_settled():
            return
        with self._lock():
            self._settle()

    def _registered(self) -> RegisteredModel:
        return client(self.tracking_uri).get_registered_model(self.model)

    def _lock(self) -> Lock:
        return model_lock(self.tracking_uri, self.model, Purpose.SERVING)

    def _is_settled(self) -> bool:
        change = self.last_change()
        return change is None or change.is_done

    def _settle(self) -> None:
        change, now = self.last_change(), self.aliases()
        if change is None or change.is_done:
            return
        if now.champion == change.after.champion:
            logger.warning(
                "the change to %s of %r was interrupted: completed", now.champion, self.model
            )
            self._complete(change)
        else:
            # Nothing was changed yet, or the alias was moved by hand since: both are left as they
            # are.
            logger.warning("a change of what serves of %r was interrupted: dropped", self.model)
            stands = now if now.champion else change.before
            self._write_down(Change(change.before, stands, {}, is_done=True))

    def _complete(self, change: Change) -> None:
        """Write all that follows from the new champion."""
        self._set_previous(change.after.previous)
        for version, tags in change.marks.items():
            self._mark(version, tags)
        self._write_down(replace(change, is_done=True))

    def _set_previous(self, version: str) -> None:
        store = client(self.tracking_uri)
        # It may have been deleted since.
        with suppress_code("RESOURCE_DOES_NOT_EXIST"):
            if version:
                store.set_registered_model_alias(self.model, PREVIOUS, version)
                return
        store.delete_registered_model_alias(self.model, PREVIOUS)

    def _mark(self, version: str, tags: Mapping[str, str]) -> None:
        with suppress_code("RESOURCE_DOES_NOT_EXIST"):
            for key, value in tags.items():
                client(self.tracking_uri).set_model_version_tag(self.model, version, key, value)

    def _write_down(self, change: Change) -> None:
        text = json.dumps(asdict(change))
        client(self.tracking_uri).set_registered_model_tag(self.model, CHANGE_TAG, text)

    def _named_by(self, model: RegisteredModel, alias: str) -> str:
        version = str(model.aliases.get(alias, ""))
        if version:
            with suppress_code("RESOURCE_DOES_NOT_EXIST"):
                client(self.tracking_uri).get_model_version(self.model, version)
                return version
        return ""


def _change(record: Mapping[str, Any]) -> Change:
    return Change(
        before=Aliases(**record["before"]),
        after=Aliases(**record["after"]),
        marks={version: dict(tags) for version, tags in record["marks"].items()},
        is_done=bool(record["is_done"]),
    )


def _named(version: str) -> str:
    return f"version {version}" if version else "no version"
