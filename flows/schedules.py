"""When a deployment runs: a schedule as `prefect deploy` reads it, and its next date."""

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any, Self

import pydantic
from prefect.schedules import Schedule
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from pydantic import BaseModel, ConfigDict, model_validator

from llmpso.errors import SpecError

SHORTEST = timedelta(minutes=1)


class ScheduleEntry(BaseModel):
    """One schedule of a deployment, with the keys that Prefect's file format has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cron: str | None = None
    interval: timedelta | None = None
    """Seconds, `HH:MM:SS` or ISO 8601."""
    rrule: str | None = None
    """A recurrence rule (RFC 5545)."""
    timezone: str = "UTC"
    """Any name of the IANA database."""
    anchor_date: datetime | None = None
    """What an interval is counted from; the moment of serving if not given."""
    day_or: bool = True
    """Whether a cron line's day of the month and day of the week are joined by OR."""
    active: bool = True
    parameters: dict[str, Any] = {}
    """Those of the runs of this schedule, in place of the deployment's."""
    slug: str | None = None

    @model_validator(mode="after")
    def _has_one_rule(self) -> Self:
        if sum(rule is not None for rule in (self.cron, self.interval, self.rrule)) != 1:
            raise ValueError("it must have exactly one of cron, interval and rrule")
        if self.cron is not None and len(self.cron.split()) > 5:
            raise ValueError(
                "cron must have five fields: minute, hour, day, month, day of the week"
            )
        return self

    @model_validator(mode="after")
    def _is_rare(self) -> Self:
        """A rule of seconds would also be counted through from 2020 on."""
        is_fast = self.interval is not None and timedelta() < self.interval < SHORTEST
        if is_fast or re.search("FREQ=(SECOND|MINUTE)LY", (self.rrule or "").upper()):
            raise ValueError("it must run every minute at most, by interval or cron")
        return self

    @property
    def rule(self) -> str:
        """The rule as people write it."""
        return self.cron or self.rrule or f"every {self.interval}"

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
                f"schedule {self.rule!r} in {self.timezone!r} is in the past, or on days that "
                "do not exist: it would never run; correct the rule"
            )
        return found[0]

    def as_schedule(self) -> Schedule:
        """As Prefect takes it."""
        return Schedule(**self.model_dump(exclude={"anchor_date"}), **self._anchor())

    def _server_schedule(self) -> CronSchedule | IntervalSchedule | RRuleSchedule:
        """What the server computes dates by."""
        if self.cron is not None:
            return CronSchedule(cron=self.cron, timezone=self.timezone, day_or=self.day_or)
        if self.interval is not None:
            return IntervalSchedule(
                interval=self.interval, timezone=self.timezone, **self._anchor()
            )
        return RRuleSchedule(rrule=str(self.rrule), timezone=self.timezone)

    def _anchor(self) -> dict[str, Any]:
        return {} if self.anchor_date is None else {"anchor_date": self.anchor_date}
