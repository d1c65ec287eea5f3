"""The deployments of a file, checked: what they run, with which parameters, and when."""

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pydantic
import yaml
from prefect import Flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.exceptions import ParameterTypeError, SignatureMismatchError
from prefect.schedules import Cron, RRule, Schedule
from prefect.server.schemas.schedules import CronSchedule, RRuleSchedule

from flows.retune import retune
from flows.tune import tune
from llmpso.errors import SpecError

FLOWS: Mapping[str, Flow[..., Any]] = {
    "flows/retune.py:retune": retune,
    "flows/tune.py:tune": tune,
}
"""What may be deployed, by entry point."""

DATA = ("model", "objective", "csv", "target", "where", "images", "classes", "space_file")
"""Parameters that decide which model is meant."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When a deployment runs."""

    rule: str
    """A cron line, or a recurrence rule (RFC 5545)."""
    timezone: str
    is_cron: bool
    is_active: bool

    def following(self) -> datetime:
        """When it runs next.

        Raises:
            SpecError: The rule or the zone cannot be read, or it never runs again.
        """
        try:
            found = asyncio.run(self._server_schedule().get_dates(n=1))
        except pydantic.ValidationError as error:
            reason = " ".join(error.errors()[0]["msg"].split())
            raise SpecError(f"schedule {self.rule!r} in {self.timezone!r}: {reason}") from error
        except ValueError:  # how its cron says that no date fits
            found = []
        if not found:
            raise SpecError(
                f"schedule {self.rule!r} in {self.timezone!r} lies in the past, or on days that "
                "do not exist: it would never run; mend the rule"
            )
        return found[0]

    def as_schedule(self) -> Schedule:
        """As Prefect takes it."""
        kind = Cron if self.is_cron else RRule
        return kind(self.rule, timezone=self.timezone, active=self.is_active)

    def _server_schedule(self) -> CronSchedule | RRuleSchedule:
        if self.is_cron:
            return CronSchedule(cron=self.rule, timezone=self.timezone)
        return RRuleSchedule(rrule=self.rule, timezone=self.timezone)


@dataclass(frozen=True, slots=True)
class ScheduledFlow:
    """One deployment."""

    flow: Flow[..., Any]
    name: str
    description: str
    parameters: Mapping[str, Any]
    timings: Sequence[Timing]
    tags: Sequence[str]
    limit: ConcurrencyLimitConfig | None

    @property
    def full_name(self) -> str:
        """As `prefect deployment run` takes it."""
        return f"{self.flow.name}/{self.name}"


def load_deployments(path: Path) -> list[ScheduledFlow]:
    """The deployments of a file that `prefect deploy` reads too.

    Raises:
        SpecError: A flow, a parameter or a schedule is wrong, or two deployments retune one model.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = content["deployments"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise SpecError(f"file {str(path)!r} names no deployments ({reason})") from error
    deployments = [_deployment(entry) for entry in entries]
    _check_models(deployments)
    return deployments


def _deployment(entry: Mapping[str, Any]) -> ScheduledFlow:
    name, entrypoint = entry.get("name", ""), entry.get("entrypoint", "")
    if entrypoint not in FLOWS:
        near = difflib.get_close_matches(entrypoint, FLOWS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(FLOWS)}"
        raise SpecError(f"deployment {name!r} runs {entrypoint!r}; {hint}")
    flow, parameters = FLOWS[entrypoint], entry.get("parameters") or {}
    _check_parameters(flow, name, parameters)
    limit = entry.get("concurrency_limit")
    timings = [_timing(name, schedule) for schedule in entry.get("schedules") or []]
    for timing in timings:
        timing.following()
    return ScheduledFlow(
        flow=flow,
        name=name,
        description=entry.get("description", ""),
        parameters=parameters,
        timings=timings,
        tags=entry.get("tags") or [],
        limit=None if limit is None else ConcurrencyLimitConfig(**limit),
    )


def _timing(name: str, schedule: Mapping[str, Any]) -> Timing:
    rule = schedule.get("cron") or schedule.get("rrule")
    if not rule:
        raise SpecError(
            f"a schedule of {name!r} is {dict(schedule)!r}; it must have cron or rrule"
        )
    return Timing(
        str(rule),
        schedule.get("timezone", "UTC"),
        is_cron="cron" in schedule,
        is_active=schedule.get("active", True),
    )


def _check_parameters(flow: Flow[..., Any], name: str, parameters: Mapping[str, Any]) -> None:
    try:
        flow.validate_parameters(dict(parameters))
    except (ParameterTypeError, SignatureMismatchError) as error:
        reason = " ".join(str(error).split())
        raise SpecError(f"deployment '{flow.name}/{name}': {reason}") from error


def _check_models(deployments: Sequence[ScheduledFlow]) -> None:
    """Refuse two deployments that would retune the same model."""
    seen: dict[tuple[str, ...], str] = {}
    for deployment in deployments:
        if deployment.flow is not retune:
            continue
        model = tuple(str(deployment.parameters.get(key)) for key in DATA)
        if model in seen:
            raise SpecError(
                f"{seen[model]!r} and {deployment.full_name!r} retune the same model; give each "
                "model one deployment, with as many schedules as you like"
            )
        seen[model] = deployment.full_name
