"""The version of a model that a new one is compared with: what serves, or served last.

Whether the new one is better, `llmpso.retuning.promotion` decides.
"""

import json
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from llmpso.ensembles.outcome import Member, members_of
from llmpso.errors import ANOTHER_MODEL, RegistryError, SpaceError
from llmpso.retuning.drift import Reference
from llmpso.retuning.stored_params import parsed_params
from llmpso.space import Params, SearchSpace
from llmpso.text import one_line
from tasks.models.registry import MEMBERS_TAG, Registry, now
from tasks.store.client import suppress_code
from tasks.store.names import by_name

REFERENCE_FILE = "drift/reference.json"
"""How the data was distributed that a champion was tuned on, in the run that promoted it."""


@dataclass(frozen=True, slots=True)
class Champion:
    """The version of a model that a new one is compared with."""

    name: str
    version: str
    params: Params
    error: float | None
    """On the newest data of the time of its promotion; None if that was not recorded."""
    reference: Reference | None
    """The data it was tuned on; None if that was not recorded."""
    serves: bool
    """Whether it is `@champion`; else `@previous`, in the place of one that is gone."""
    members: tuple[Member, ...] = ()
    """Of an ensemble, the largest weight first: `params` are those of the first."""

    @property
    def configurations(self) -> tuple[Member, ...]:
        """All that it was trained with."""
        return self.members or (Member(self.params),)

    @property
    def uri(self) -> str:
        """What MLflow loads."""
        return f"models:/{self.name}/{self.version}"


def find_champion(registry: Registry, space: SearchSpace) -> Champion | None:
    """The version that serves, or `@previous` if that is gone; None if there is neither.

    Raises:
        RegistryError: It is not known with which parameters it was trained, they are outside the
            space, or what was recorded of it is damaged.
    """
    registry.serving.settle()
    if registry.serving.find() is None:
        return None
    aliases = registry.serving.aliases()
    number = aliases.champion or aliases.previous
    if not number:
        return None
    version = registry.version(number)
    return Champion(
        registry.name,
        number,
        _params(registry, version, space),
        _error(version),
        _reference(registry, version.tags.get("retune_run", "")),
        serves=bool(aliases.champion),
        members=_members(version, space),
    )


def champion_lost(registry: Registry) -> str:
    """That nothing serves any more, if something did; else empty."""
    serving = registry.serving
    if serving.find() is None or (aliases := serving.aliases()).champion:
        return ""
    change, served = serving.last_change(), registry.promotions()["version"].tolist()
    last = change.after.champion if change else str(max(served, default=""))
    if not last and not aliases.previous:
        return ""
    which = f"version {last} served last" if last else "one did"
    instead = (
        f"compared with @previous, version {aliases.previous}"
        if aliases.previous
        else "there is no @previous either: nothing to compare with"
    )
    return (
        f"no version of {registry.name!r} has the alias @champion any more, and {which}: {instead}"
    )


def record_confirmation(registry: Registry, champion: Champion, reason: str) -> None:
    """Record on the champion's version that it was examined and stays, and why.

    A version that is only `@previous`, because the champion is gone, serves again.

    Raises:
        ChampionChangedError: Another version serves by now.
    """
    tags = {"kept_at": now(), "kept_because": reason}
    if not champion.serves:
        marks = {champion.version: tags | {"restored_at": now()}}
        registry.serving.change(expected="", to=champion.version, marks=marks)
        return
    registry.serving.check(champion.version)
    registry.mark(champion.version, tags)


def _error(version: ModelVersion) -> float | None:
    text = version.tags.get("error")
    if text is None:
        return None
    try:
        error = float(text)
    except ValueError:
        error = math.nan
    if not math.isfinite(error):
        raise RegistryError(
            f"tag error of models:/{version.name}/{version.version} is {text!r}; it must be a "
            "number: correct it in MLflow's pages, or delete the tag"
        )
    return error


def _params(registry: Registry, version: ModelVersion, space: SearchSpace) -> dict[str, Any]:
    address = f"champion models:/{version.name}/{version.version}"
    try:
        if "params" in version.tags:
            return space.validate(_json_object(version.tags["params"], address))
        run_id = version.run_id or ""
        recorded = registry.store.get_run(run_id).data.params
        return parsed_params(space, by_name(recorded, space))
    except SpaceError as error:
        raise RegistryError(
            f"{address} was trained with parameters that the space does not allow ({error}); "
            f"widen the space, or {ANOTHER_MODEL}"
        ) from error
    except MlflowException as error:
        raise RegistryError(
            f"{address} has no record of its parameters ({one_line(error, 200)}); give the "
            "version a tag params with a JSON object"
        ) from error


def _members(version: ModelVersion, space: SearchSpace) -> tuple[Member, ...]:
    """Those of an ensemble; none of a single model."""
    text, address = version.tags.get(MEMBERS_TAG), f"models:/{version.name}/{version.version}"
    if text is None:
        return ()
    try:
        found = members_of(text)
        return tuple(replace(member, params=space.validate(member.params)) for member in found)
    except SpaceError as error:
        raise RegistryError(
            f"a member of champion {address} was trained with parameters that the space does not "
            f"allow ({error}); widen the space, or {ANOTHER_MODEL}"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise RegistryError(
            f"tag {MEMBERS_TAG} of champion {address} is {one_line(text, 100)!r}; it must be the "
            "members of an ensemble: correct it in MLflow's pages"
        ) from error


def _json_object(text: str, address: str) -> dict[str, Any]:
    try:
        params = json.loads(text)
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise RegistryError(
            f"tag params of {address} is {text!r}; it must be a JSON object: correct it in "
            "MLflow's pages"
        )
    return params


def _reference(registry: Registry, run_id: str) -> Reference | None:
    if not run_id:
        return None
    listed: set[str] = set()
    # The run may have been deleted since.
    with suppress_code("RESOURCE_DOES_NOT_EXIST"):
        listed = {entry.path for entry in registry.store.list_artifacts(run_id, "drift")}
    if REFERENCE_FILE not in listed:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(registry.store.download_artifacts(run_id, REFERENCE_FILE, scratch))
        try:
            return Reference.from_json(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RegistryError(
                f"{REFERENCE_FILE} of run {run_id}, the record of the champion's data, is damaged "
                "or of another version: restore it; or delete it, to continue without"
            ) from error
