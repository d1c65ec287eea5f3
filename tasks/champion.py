"""The version of a model that a new one is compared with: what serves, or served last."""

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from llmpso.errors import RegistryError, SpaceError
from llmpso.retuning.drift import Reference
from llmpso.retuning.warm_start import parsed_params
from llmpso.space import Params, SearchSpace
from llmpso.text import one_line
from tasks.names import by_name
from tasks.registry import now, promotions
from tasks.serving import (
    aliases_of,
    change_champion,
    check_champion,
    find_registered,
    last_change,
    settle,
)
from tasks.tracking import client, suppress_code

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

    @property
    def uri(self) -> str:
        """What MLflow loads."""
        return f"models:/{self.name}/{self.version}"


def find_champion(uri: str, name: str, space: SearchSpace) -> Champion | None:
    """The version that serves, or `@previous` if that is gone; None if there is neither.

    Raises:
        RegistryError: It is not known with which parameters it was trained, they lie outside the
            space, or what was recorded of it is damaged.
    """
    settle(uri, name)
    registered = find_registered(uri, name)
    if registered is None:
        return None
    aliases = aliases_of(uri, registered)
    number = aliases.champion or aliases.previous
    if not number:
        return None
    version = client(uri).get_model_version(name, number)
    return Champion(
        name,
        number,
        _params(uri, version, space),
        _error(version),
        _reference(uri, version.tags.get("retune_run", "")),
        serves=bool(aliases.champion),
    )


def champion_lost(uri: str, name: str) -> str:
    """That nothing serves any more, if something did; else empty."""
    registered = find_registered(uri, name)
    if registered is None or (aliases := aliases_of(uri, registered)).champion:
        return ""
    change, served = last_change(registered), promotions(uri, name)["version"].tolist()
    last = change.after.champion if change else str(max(served, default=""))
    if not last and not aliases.previous:
        return ""
    which = f"version {last} served last" if last else "one did"
    instead = (
        f"compared with @previous, version {aliases.previous}"
        if aliases.previous
        else "there is no @previous either: nothing to compare with"
    )
    return f"no version of {name!r} has the alias @champion any more, and {which}: {instead}"


def note_kept(uri: str, champion: Champion, reason: str) -> None:
    """Write on the champion's version when it was last examined, and why it stayed.

    One that is but `@previous`, as the champion is gone, serves again.

    Raises:
        ChampionChangedError: Another version serves by now.
    """
    name, version = champion.name, champion.version
    tags = {"kept_at": now(), "kept_because": reason}
    if not champion.serves:
        tags |= {"restored_at": now()}
        change_champion(uri, name, expected="", to=version, marks={version: tags})
        return
    check_champion(name, aliases_of(uri, client(uri).get_registered_model(name)), version)
    for key, value in tags.items():
        client(uri).set_model_version_tag(name, version, key, value)


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
            "number: mend it in MLflow's pages, or delete the tag"
        )
    return error


def _params(uri: str, version: ModelVersion, space: SearchSpace) -> dict[str, Any]:
    address = f"champion models:/{version.name}/{version.version}"
    try:
        if "params" in version.tags:
            return space.validate(_json_object(version.tags["params"], address))
        run_id = version.run_id or ""
        kept = client(uri).get_run(run_id).data.params
        return parsed_params(space, by_name(kept, space))
    except SpaceError as error:
        raise RegistryError(
            f"{address} was trained with parameters that the space does not allow ({error}); "
            "widen the space, or tune a new model under another name"
        ) from error
    except MlflowException as error:
        raise RegistryError(
            f"{address} does not tell its parameters ({one_line(error, 200)}); give the version a "
            "tag params with a JSON object"
        ) from error


def _json_object(text: str, address: str) -> dict[str, Any]:
    try:
        params = json.loads(text)
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise RegistryError(
            f"tag params of {address} is {text!r}; it must be a JSON object: mend it in MLflow's "
            "pages"
        )
    return params


def _reference(uri: str, run_id: str) -> Reference | None:
    if not run_id:
        return None
    listed: set[str] = set()
    # The run may have been deleted since.
    with suppress_code("RESOURCE_DOES_NOT_EXIST"):
        listed = {entry.path for entry in client(uri).list_artifacts(run_id, "drift")}
    if REFERENCE_FILE not in listed:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(client(uri).download_artifacts(run_id, REFERENCE_FILE, scratch))
        try:
            return Reference.from_json(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RegistryError(
                f"{REFERENCE_FILE} of run {run_id}, the record of the champion's data, is damaged "
                "or of another version: bring it back; or delete it, to go on without"
            ) from error
