"""The deployments of a file, checked: what they run, with which parameters, and when.

The file is that of `prefect deploy`. Each key means the same as there, or is refused.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import pydantic
import yaml
from prefect import Flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.events import DeploymentTriggerTypes
from prefect.utilities.templating import apply_values, find_placeholders
from pydantic import BaseModel, ConfigDict, Field, field_validator

from flows.predict import PredictOptions, predict
from flows.retune import retune
from flows.retune_plan import RetuneOptions
from flows.schedules import ScheduleEntry
from flows.storable import check_storable
from flows.tune import tune
from flows.tune_plan import TuneOptions
from llmpso.errors import SpecError
from llmpso.option_group import Options
from llmpso.text import did_you_mean
from llmpso.yaml_keys import repeated_key

Model = TypeVar("Model", bound=BaseModel)

FLOWS: Mapping[str, Flow[..., Any]] = {
    "flows/predict.py:predict": predict,
    "flows/retune.py:retune": retune,
    "flows/tune.py:tune": tune,
}
"""What may be deployed, by entry point."""

OPTIONS: Mapping[str, type[Options]] = {
    "predict": PredictOptions,
    "retune": RetuneOptions,
    "tune": TuneOptions,
}
"""What each of them is given."""

WORKERS_OWN = ("build", "push", "pull", "work_pool", "version", "version_type", "flow_name")
"""Keys that say how a worker gets the code; `llmpso serve` has it already."""


class DeploymentEntry(BaseModel):
    """What a file says of one deployment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    entrypoint: str
    description: str = ""
    tags: list[str] = []
    parameters: dict[str, Any] = {}
    schedules: list[ScheduleEntry] = []
    triggers: list[DeploymentTriggerTypes] = []
    """Events that start it."""
    paused: bool = False
    concurrency_limit: ConcurrencyLimitConfig | int | None = None
    enforce_parameter_schema: bool = True

    @field_validator("description", "tags", "parameters", "schedules", "triggers", mode="before")
    @classmethod
    def _empty(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        """A key without a value is ignored."""
        return cls.model_fields[str(info.field_name)].default if value is None else value

    @field_validator("name")
    @classmethod
    def _suits_prefect(cls, name: str) -> str:
        if set(name) & set("/%&<>"):
            raise ValueError("it must not hold any of / % & < >")
        return name

    @field_validator("concurrency_limit")
    @classmethod
    def _lets_one_run(
        cls, limit: ConcurrencyLimitConfig | int | None
    ) -> ConcurrencyLimitConfig | int | None:
        n_runs = limit.limit if isinstance(limit, ConcurrencyLimitConfig) else limit
        if n_runs is not None and n_runs < 1:
            raise ValueError("it must be 1 or more")
        return limit

    @field_validator("tags", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class ScheduledFlow:
    """One deployment."""

    flow: Flow[..., Any]
    entry: DeploymentEntry

    @property
    def full_name(self) -> str:
        """As `prefect deployment run` takes it."""
        return f"{self.flow.name}/{self.entry.name}"

    def run_parameters(self) -> Iterator[dict[str, Any]]:
        """The parameters that its runs may have: when asked for, and by each schedule."""
        yield self.entry.parameters
        for schedule in self.entry.schedules:
            yield self.entry.parameters | schedule.parameters


def load_deployments(path: Path) -> list[ScheduledFlow]:
    """The deployments of a file that `prefect deploy` reads too.

    Raises:
        SpecError: A flow, a parameter or a schedule is wrong, or two deployments retune one model.
    """
    entries = _entries(path)
    deployments = [_deployment(entry) for entry in entries]
    _check_names(deployments)
    _check_models(deployments)
    return deployments


def _entries(path: Path) -> list[Any]:
    """The entries under `deployments`, unchecked."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        content, repeated = yaml.safe_load(text), repeated_key(yaml.compose(text))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise SpecError(f"file {str(path)!r} names no deployments ({reason})") from error
    if repeated:
        raise SpecError(f"file {str(path)!r}: {repeated}; keep one of them")
    entries = content.get("deployments") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise SpecError(
            f"file {str(path)!r} names no deployments; it must hold a list of them under "
            "deployments"
        )
    return entries


def _deployment(content: Any) -> ScheduledFlow:
    if not isinstance(content, Mapping):
        raise SpecError(f"a deployment is {content!r}; it must have a name and an entrypoint")
    label = f"deployment {content.get('name', '')!r}"
    served = {key: value for key, value in content.items() if key not in WORKERS_OWN}
    # What triggers hold in braces is filled in by each event.
    triggers = {"triggers": served.pop("triggers", None)}
    filled = _one_form(_filled_in(served, label), label) | triggers
    entry = _read(DeploymentEntry, filled, label)
    deployment = ScheduledFlow(_flow(entry), entry)
    for parameters in deployment.run_parameters():
        _check_parameters(deployment, parameters)
    for place, schedule in enumerate(entry.schedules):
        try:
            schedule.following()
        except SpecError as error:
            raise SpecError(f"{label}: schedules.{place}: {error}") from error
    return deployment


def _filled_in(content: dict[str, Any], label: str) -> dict[str, Any]:
    """Variables of the environment, `{{ $NAME }}`, in the place of their names."""
    try:
        placeholders = find_placeholders(content)
    except ValueError as error:  # YAML reads 2026-01-01 as a date
        raise SpecError(f"{label} holds a value that is no text or number; quote it") from error
    for placeholder in sorted(placeholders):
        if not placeholder.name.startswith("$"):
            raise SpecError(
                f"{label} holds {placeholder.full_match}, which only `prefect deploy` fills in; "
                "write the value, or a variable of the environment as {{ $NAME }}"
            )
        if placeholder.name[1:] not in os.environ:
            raise SpecError(
                f"{label} holds {placeholder.full_match}, and {placeholder.name[1:]} is not set"
            )
    filled: dict[str, Any] = apply_values(content, {})
    return filled


def _one_form(content: dict[str, Any], label: str) -> dict[str, Any]:
    """A single `schedule` as a list of one."""
    single = content.pop("schedule", None)
    if single and content.get("schedules"):
        raise SpecError(f"{label} has both schedule and schedules; keep schedules")
    return content | ({"schedules": [single]} if single else {})


def _read(kind: type[Model], content: dict[str, Any], label: str) -> Model:
    try:
        return kind.model_validate(content)
    except pydantic.ValidationError as error:
        # Unknown names first: one of them may be a wrong spelling of a missing one.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        where = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            known = ScheduleEntry if where.startswith("schedules.") else kind
            hint = did_you_mean(str(first["loc"][-1]), known.model_fields, "remove it")
            raise SpecError(f"{label}: {where} is not read by llmpso serve; {hint}") from error
        if first["type"] == "missing":
            raise SpecError(f"{label} lacks {where}") from error
        reason = first["msg"].removeprefix("Value error, ")
        raise SpecError(f"{label}: {where} is {first['input']!r}; {reason}") from error


def _flow(entry: DeploymentEntry) -> Flow[..., Any]:
    entrypoint = str(PurePosixPath(entry.entrypoint))
    if entrypoint not in FLOWS:
        hint = did_you_mean(entrypoint, FLOWS)
        raise SpecError(f"deployment {entry.name!r} runs {entry.entrypoint!r}; {hint}")
    return FLOWS[entrypoint]


def _check_parameters(deployment: ScheduledFlow, parameters: dict[str, Any]) -> None:
    try:
        check_storable(OPTIONS[deployment.flow.name](**parameters))
    except SpecError as error:
        raise SpecError(f"deployment {deployment.full_name!r}: {error}") from error


def _check_names(deployments: Sequence[ScheduledFlow]) -> None:
    """Refuse a second deployment of a name, which would replace the first."""
    names = [deployment.full_name for deployment in deployments]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"{names.count(name)} deployments are named {name!r}; rename them")


def _check_models(deployments: Sequence[ScheduledFlow]) -> None:
    """Refuse two deployments that would retune the same model."""
    seen: dict[object, str] = {}
    for deployment in deployments:
        if deployment.flow is not retune:
            continue
        name = deployment.full_name
        for parameters in deployment.run_parameters():
            asked = RetuneOptions(**parameters)
            model = asked.model or (asked.objective, asked.data)
            if seen.setdefault(model, name) != name:
                raise SpecError(
                    f"{seen[model]!r} and {name!r} retune the same model; give each model one "
                    "deployment, with as many schedules as you like"
                )
