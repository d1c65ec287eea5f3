"""What can be locked: a study, for the process that runs it; a registered model, to change it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path

from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException

from llmpso.errors import BusyError, BusyModelError, RegistryError
from llmpso.running.durable_files import made_folder
from llmpso.running.fingerprint import digest
from llmpso.text import one_line
from tasks.store.client import client, suppress_code
from tasks.store.lock import Lock
from tasks.store.state_folders import state_folder, study_folder, usable_state, writable
from tasks.store.tracker import Tracker

STUDY_CLAIM = "llmpso.running."
"""How the keys of claims on a study begin."""


class Purpose(StrEnum):
    """What the lock of a registered model is for."""

    RETUNING = "retuning"
    """Held for as long as a run may change what serves."""
    SERVING = "serving"
    """Held for the moment in which aliases move."""


def study_lock(study: Tracker) -> Lock:
    """The right to run a study.

    Raises:
        BusyError: Another process runs it.
        StorageError: The folder of the study cannot be used.
    """
    return Lock(_StudyTarget(study), patience=0.0)


def model_lock(uri: str, model: str, purpose: Purpose) -> Lock:
    """The right to change a registered model; made, without a version, if it is not there.

    Raises:
        BusyModelError: A living process has it.
        RegistryError: MLflow refuses the model's name.
    """
    return Lock(_ModelTarget(uri, _registered(uri, model), purpose))


class _StudyTarget:
    """The tags of a study's run, and a file in the study's folder."""

    prefix = STUDY_CLAIM

    def __init__(self, study: Tracker) -> None:
        self._store, self._run_id = study.store, study.run_id

    def file(self) -> Path:
        return made_folder(study_folder(self._run_id)) / "lock"

    def usable(self) -> AbstractContextManager[None]:
        return usable_state(self._run_id)

    def tags(self) -> Mapping[str, str]:
        return dict(self._store.get_run(self._run_id).data.tags)

    def set_tag(self, key: str, text: str) -> None:
        self._store.set_tag(self._run_id, key, text)

    def delete_tag(self, key: str) -> None:
        with suppress_code("RESOURCE_DOES_NOT_EXIST"):
            self._store.delete_tag(self._run_id, key)

    def busy(self, holders: str) -> BusyError:
        by = f", {holders}" if holders else ""
        return BusyError(
            f"this very study is being run (MLflow run {self._run_id}{by}); wait for it, choose "
            "another seed, or begin a second one with --fresh"
        )

    def taken_over(self, holders: str) -> BusyError:
        by = f", {holders}" if holders else ""
        return BusyError(
            "this process stood still for so long that another one took its study over (MLflow "
            f"run {self._run_id}{by}): it ends here, and records nothing more"
        )


class _ModelTarget:
    """The tags of a registered model, and a file for each model and purpose."""

    def __init__(self, uri: str, model: RegisteredModel, purpose: Purpose) -> None:
        self._store, self._model, self._purpose = client(uri), model, purpose
        self.prefix = f"llmpso.{purpose}."

    def file(self) -> Path:
        """The same file for the same model, under whatever address its store is reached."""
        folder, model = made_folder(state_folder() / "locks"), self._model
        return folder / digest([model.name, model.creation_timestamp, self._purpose])[:32]

    def usable(self) -> AbstractContextManager[None]:
        return writable("locks of models", state_folder() / "locks")

    def tags(self) -> Mapping[str, str]:
        return dict(self._store.get_registered_model(self._model.name).tags)

    def set_tag(self, key: str, text: str) -> None:
        self._store.set_registered_model_tag(self._model.name, key, text)

    def delete_tag(self, key: str) -> None:
        self._store.delete_registered_model_tag(self._model.name, key)

    def busy(self, holders: str) -> BusyModelError:
        return BusyModelError(
            f"another run retunes {self._model.name!r} at this moment"
            f"{f' ({holders})' if holders else ''}; let it end, and give each model one "
            "deployment only"
        )

    def taken_over(self, holders: str) -> BusyModelError:
        return BusyModelError(
            "this process stood still for so long that another one took over what serves "
            f"{self._model.name!r}{f' ({holders})' if holders else ''}: it ends here, and changes "
            "nothing more"
        )


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
