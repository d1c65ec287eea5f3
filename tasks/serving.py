"""Which version of a model serves: changed in one step that survives the death of its process.

A change takes several writes, and MLflow makes one at a time. What is to be changed is therefore
written down first, on the registered model; then `@champion` moves, and all else follows. Of a
change that was cut short, whoever comes next writes the rest if `@champion` has moved, and drops
it if not: nothing was changed then.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from mlflow.entities.model_registry import RegisteredModel

from llmpso.errors import ChampionChangedError, RegistryError
from tasks.model_lock import ModelLock, Purpose
from tasks.tracking import client, suppress_code

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
    """A change of what serves, as it is written down."""

    before: Aliases
    after: Aliases
    marks: Mapping[str, Mapping[str, str]]
    """Tags, by version, that say what happened; written once it has."""
    is_done: bool = False


def change_champion(
    uri: str, model: str, *, expected: str, to: str, marks: Mapping[str, Mapping[str, str]]
) -> None:
    """Let another version serve, unless what serves is not what the decision was about.

    Args:
        uri: The store.
        model: The registered model.
        expected: The version that served when it was decided; empty for none.
        to: The version that is to serve; what serves becomes the previous one.
        marks: Tags, by version, that say what happened.

    Raises:
        ChampionChangedError: Another version serves; nothing was changed.
        BusyModelError: Another process changes it at this moment.
    """
    with _locked(uri, model) as lock:
        _settle(uri, model)
        before = aliases_of(uri, client(uri).get_registered_model(model))
        lock.check()
        check_champion(model, before, expected)
        previous = before.champion or before.previous
        change = Change(before, Aliases(to, "" if previous == to else previous), marks)
        _write_down(uri, model, change)
        client(uri).set_registered_model_alias(model, CHAMPION, to)
        _complete(uri, model, change)


def check_champion(model: str, now: Aliases, expected: str) -> None:
    """Refuse to decide about a version that does not serve any more.

    Raises:
        ChampionChangedError: Another version has the alias, or none.
    """
    if now.champion != expected:
        raise ChampionChangedError(
            f"{_named(now.champion)} of {model!r} serves now, and this run compared with "
            f"{_named(expected)}: nothing was changed; start again, to compare with what serves"
        )


def settle(uri: str, model: str) -> None:
    """Bring a change to an end whose process died.

    Raises:
        RegistryError: Somebody damaged what was written down.
        BusyModelError: Another process changes what serves at this moment.
    """
    registered = find_registered(uri, model)
    if registered is None or _is_settled(registered):
        return
    with _locked(uri, model):
        _settle(uri, model)


def find_registered(uri: str, model: str) -> RegisteredModel | None:
    """A registered model; None if there is none of the name."""
    with suppress_code("RESOURCE_DOES_NOT_EXIST"):
        return client(uri).get_registered_model(model)
    return None


def aliases_of(uri: str, model: RegisteredModel) -> Aliases:
    """What serves, and what served before; the alias of a version that is gone is none."""
    return Aliases(*(_named_by(uri, model, alias) for alias in (CHAMPION, PREVIOUS)))


def last_change(model: RegisteredModel) -> Change | None:
    """The last change of what serves; None if there was none.

    Raises:
        RegistryError: Somebody damaged what was written down.
    """
    text = model.tags.get(CHANGE_TAG)
    if text is None:
        return None
    try:
        return _change(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RegistryError(
            f"tag {CHANGE_TAG} of model {model.name!r} is damaged; see in MLflow's pages that its "
            "aliases are right, and delete the tag"
        ) from error


@contextmanager
def _locked(uri: str, model: str) -> Iterator[ModelLock]:
    lock = ModelLock(uri, model, Purpose.SERVING)
    try:
        yield lock
    finally:
        lock.release()


def _is_settled(model: RegisteredModel) -> bool:
    change = last_change(model)
    return change is None or change.is_done


def _settle(uri: str, model: str) -> None:
    registered = client(uri).get_registered_model(model)
    change, now = last_change(registered), aliases_of(uri, registered)
    if change is None or change.is_done:
        return
    if now.champion == change.after.champion:
        logger.warning("the change to %s of %r was cut short: completed", now.champion, model)
        _complete(uri, model, change)
    else:
        # Nothing was changed yet, or somebody moved the alias by hand since: either stands.
        logger.warning("a change of what serves of %r was cut short: dropped", model)
        stands = now if now.champion else change.before
        _write_down(uri, model, Change(change.before, stands, {}, is_done=True))


def _complete(uri: str, model: str, change: Change) -> None:
    """Write all that follows from the new champion."""
    _set_previous(uri, model, change.after.previous)
    for version, tags in change.marks.items():
        _mark(uri, model, version, tags)
    _write_down(uri, model, replace(change, is_done=True))


def _set_previous(uri: str, model: str, version: str) -> None:
    store = client(uri)
    # Somebody may have deleted it since.
    with suppress_code("RESOURCE_DOES_NOT_EXIST"):
        if version:
            store.set_registered_model_alias(model, PREVIOUS, version)
            return
    store.delete_registered_model_alias(model, PREVIOUS)


def _mark(uri: str, model: str, version: str, tags: Mapping[str, str]) -> None:
    with suppress_code("RESOURCE_DOES_NOT_EXIST"):
        for key, value in tags.items():
            client(uri).set_model_version_tag(model, version, key, value)


def _write_down(uri: str, model: str, change: Change) -> None:
    client(uri).set_registered_model_tag(model, CHANGE_TAG, json.dumps(asdict(change)))


def _change(record: Mapping[str, Any]) -> Change:
    return Change(
        before=Aliases(**record["before"]),
        after=Aliases(**record["after"]),
        marks={version: dict(tags) for version, tags in record["marks"].items()},
        is_done=bool(record["is_done"]),
    )


def _named_by(uri: str, model: RegisteredModel, alias: str) -> str:
    version = str(model.aliases.get(alias, ""))
    if version:
        with suppress_code("RESOURCE_DOES_NOT_EXIST"):
            client(uri).get_model_version(model.name, version)
            return version
    return ""


def _named(version: str) -> str:
    return f"version {version}" if version else "no version"
