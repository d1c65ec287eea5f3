"""One registered model of MLflow: its versions, why each of them served, and what serves now."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from llmpso.ensembles.outcome import Member, members_text
from llmpso.errors import ChampionChangedError, RegistryError, StorageError
from llmpso.escaping import paragraphs
from llmpso.space import Params
from llmpso.text import did_you_mean, one_line
from llmpso.trial import Trial
from llmpso.urls import masked_url
from tasks.models.artifacts import check_model
from tasks.models.champion_alias import CHAMPION, PREVIOUS, Serving
from tasks.store.client import client, paged, quoted
from tasks.store.lock import Lock
from tasks.store.lock_targets import Purpose, model_lock
from tasks.store.page_links import linked_pages
from tasks.store.patience import is_unavailable

RETUNE_TAG = "retune_run"
"""On a study, and on a version of a model: the retuning that it is part of."""

PROMOTED_TAG = "promoted_at"
"""On a version that serves or served: since when."""

MEMBERS_TAG = "ensemble"
"""On a version that is an ensemble: its members, as JSON."""

HISTORY = (PROMOTED_TAG, "outcome", "error", "replaced", "reason", "rolled_back_at")


@dataclass(frozen=True, slots=True)
class Promotion:
    """Why a version serves."""

    artifact: str
    """Where the trained model is stored: `runs:/…`."""
    params: Params
    error: float
    outcome: str
    reason: str
    replaced: str
    """Version that serves until then; empty if none does."""
    study_run: str
    retune_run: str
    pages: Mapping[str, str]
    """Where it comes from: addresses by name; an empty one is left out."""
    members: tuple[Member, ...] = ()
    """Of an ensemble."""


@dataclass(frozen=True, slots=True)
class Registry:
    """One registered model, by its name."""

    tracking_uri: str
    name: str

    @property
    def store(self) -> MlflowClient:
        """The client of its store."""
        return client(self.tracking_uri)

    @property
    def serving(self) -> Serving:
        """Which version serves."""
        return Serving(self.tracking_uri, self.name)

    def retuning_lock(self) -> Lock:
        """The right to retune it, or to roll it back, of one process at a time.

        Raises:
            BusyModelError: A living process has it.
            RegistryError: MLflow refuses the name.
        """
        return model_lock(self.tracking_uri, self.name, Purpose.RETUNING)

    @contextmanager
    def explained_errors(self) -> Iterator[None]:
        """Explain it if the store becomes unavailable within the block, or refuses.

        Raises:
            StorageError: It did.
        """
        try:
            yield
        except MlflowException as error:
            did, then = (
                ("stopped answering", "it is back")
                if is_unavailable(error)
                else ("refuses", "that is mended")
            )
            raise StorageError(
                f"MLflow at {masked_url(self.tracking_uri)} {did} ({one_line(error, 200)}); what "
                f"serves {self.name!r} is as it was, or wholly changed: start again once {then}"
            ) from error

    def check_exists(self) -> None:
        """Refuse a name that nothing is registered under.

        Raises:
            RegistryError: There is no such model.
        """
        if self.serving.find() is not None:
            return
        search = partial(self.store.search_registered_models, max_results=1000)
        known = [model.name for model in paged(search)]
        hint = did_you_mean(self.name, known, "" if known else "known: none")
        raise RegistryError(
            f"model {self.name!r} is not registered at {masked_url(self.tracking_uri)}; {hint} (a "
            "new model goes by the name of its objective, or by one that llmpso tune "
            "registers: --register-as)"
        )

    def champion(self) -> str:
        """The version that serves.

        Raises:
            RegistryError: There is no such model, or no version of it serves.
            StorageError: MLflow does not answer.
        """
        with self.explained_errors():
            self.check_exists()
            if version := self.serving.aliases().champion:
                return version
        raise RegistryError(
            f"no version of {self.name!r} has the alias @{CHAMPION}; llmpso retune promotes one"
        )

    def register(
        self,
        trial: Trial,
        study_run: str,
        pages: Mapping[str, str],
        members: Sequence[Member] = (),
    ) -> str:
        """Register a trial's model, unless it is; `name/version`.

        Args:
            trial: With links to its run and its model.
            study_run: The study's.
            pages: Where it comes from, as in a `Promotion`.
            members: Of an ensemble.
        """
        ours = f"name = {quoted(self.name)} and run_id = '{trial.links['run']}'"
        for version in paged(partial(self.store.search_model_versions, ours)):
            return f"{self.name}/{version.version}"
        tags = {"value": f"{trial.value:.6g}", "study": study_run, "source": str(trial.source)}
        number = self._register(trial.links["model"], tags | members_tags(members))
        self.store.update_model_version(self.name, number, linked_pages(pages))
        return f"{self.name}/{number}"

    def describe(self, objective: str) -> None:
        """Write on the model's page what it does and how to load it, unless it has a description.

        Args:
            objective: What it was tuned for.
        """
        if not self.store.get_registered_model(self.name).description:
            text = (
                f"{paragraphs(objective)}\n\n```python\nimport mlflow\n\n"
                f'model = mlflow.pyfunc.load_model("models:/{self.name}/1")  # a version\n'
                f'model = mlflow.pyfunc.load_model("models:/{self.name}@champion")  # the one '
                "that serves, since llmpso retune promoted it\n```"
            )
            self.store.update_registered_model(self.name, description=text)

    def promote(self, promotion: Promotion) -> str:
        """Register a model as a new version and let it serve; its number.

        Done again, after it was interrupted anywhere, it continues: nothing is registered twice.

        Raises:
            ChampionChangedError: Another version serves than the one compared with; it stays.
        """
        version = self._registered(promotion)
        marks = {
            "outcome": promotion.outcome,
            "reason": promotion.reason,
            "replaced": promotion.replaced,
            PROMOTED_TAG: now(),
        }
        marks = {key: value for key, value in marks.items() if value}
        try:
            self.serving.change(expected=promotion.replaced, to=version, marks={version: marks})
        except ChampionChangedError as error:
            self.mark(version, {"not_promoted": str(error)})
            raise
        return version

    def roll_back(self) -> tuple[str, str]:
        """Let the previous version serve again; what served becomes the previous one.

        Returns:
            The version that served until now, empty if it is gone, and the one that does from now
            on.

        Raises:
            RegistryError: There is no such model, or no version to go back to.
            ChampionChangedError: Another process changed what serves in the meantime.
        """
        self.serving.settle()
        aliases = self.serving.aliases()
        old, new = aliases.champion, aliases.previous
        if not new:
            raise RegistryError(
                f"model {self.name!r} has no version with the alias @{PREVIOUS}; there is nothing "
                "to go back to"
            )
        if new == old:
            raise RegistryError(
                f"@{PREVIOUS} and @{CHAMPION} of model {self.name!r} are both version {old}; give "
                f"@{PREVIOUS} to the version to go back to, in MLflow's pages"
            )
        check_model(self.tracking_uri, f"models:/{self.name}/{new}")
        marks = {new: {"restored_at": now()}} | ({old: {"rolled_back_at": now()}} if old else {})
        self.serving.change(expected=old, to=new, marks=marks)
        return old, new

    def promotions(self) -> pd.DataFrame:
        """Every version that ever served, the first one first: an alias keeps no history."""
        rows = [
            {"version": int(version.version)} | {key: version.tags.get(key, "") for key in HISTORY}
            for version in self._versions()
            if PROMOTED_TAG in version.tags
        ]
        return pd.DataFrame(rows, columns=["version", *HISTORY]).sort_values("version")

    def promoted_by_run(self) -> dict[str, dict[str, str]]:
        """Results of the retunings that let a version serve, by their runs, as tags of theirs."""
        return {
            version.tags[RETUNE_TAG]: {
                "outcome": version.tags.get("outcome", ""),
                "reason": version.tags.get("reason", ""),
                "version": str(version.version),
            }
            for version in self._versions()
            if {RETUNE_TAG, PROMOTED_TAG} <= version.tags.keys()
        }

    def version(self, number: str) -> ModelVersion:
        """A version by its number."""
        return self.store.get_model_version(self.name, number)

    def mark(self, number: str, tags: dict[str, str]) -> None:
        """Write tags on a version."""
        for key, value in tags.items():
            self.store.set_model_version_tag(self.name, number, key, value)

    def _registered(self, promotion: Promotion) -> str:
        """The version that is to be promoted, registered by now; its number."""
        origin = {RETUNE_TAG: promotion.retune_run, "artifact": promotion.artifact}
        for version in self._versions():
            if origin.items() <= version.tags.items():
                return str(version.version)
        tags = origin | {
            "params": json.dumps(dict(promotion.params)),
            "error": repr(promotion.error),
            "study": promotion.study_run,
        }
        tags |= members_tags(promotion.members)
        number = self._register(promotion.artifact, tags)
        described = f"{promotion.reason}\n\n{linked_pages(promotion.pages)}"
        self.store.update_model_version(self.name, number, described)
        return number

    def _register(self, artifact: str, tags: dict[str, str]) -> str:
        mlflow.set_tracking_uri(self.tracking_uri)
        return str(mlflow.register_model(artifact, self.name, tags=tags).version)

    def _versions(self) -> list[ModelVersion]:
        ours = f"name = {quoted(self.name)}"
        return list(paged(partial(self.store.search_model_versions, ours)))


def members_tags(members: Sequence[Member]) -> dict[str, str]:
    """What a version has as tags if it is an ensemble; `params` are those of the first member."""
    if not members:
        return {}
    return {MEMBERS_TAG: members_text(members), "params": json.dumps(dict(members[0].params))}


def now() -> str:
    """The time, as tags hold it."""
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
