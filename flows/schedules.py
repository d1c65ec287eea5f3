"""When a deployment runs: a schedule as `prefect deploy` reads it, and its next date."""

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any, Self
from zoneinfo import available_timezones

import pydantic
from prefect.schedules import Schedule
from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from llmpso.errors import SpecError
from llmpso.text import did_you_mean

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

    @field_validator("cron")
    @classmethod
    def _is_a_cron_line(cls, cron: str | None) -> str | None:
        fields = "it must have five fields: minute, hour, day, month, day of the week"
        if cron is not None and len(cron.split()) > 5:
            raise ValueError(fields)
        try:
            return None if cron is None else CronSchedule(cron=cron).cron
        except pydantic.ValidationError:
            raise ValueError(f"{fields}, each within its range") from None

    @field_validator("interval")
    @classmethod
    def _is_rare(cls, interval: timedelta | None) -> timedelta | None:
        if interval is not None and interval < SHORTEST:
            raise ValueError("it must run every minute at most")
        return interval

    @field_validator("rrule")
    @classmethod
    def _is_a_rare_rule(cls, rrule: str | None) -> str | None:
        """A rule of seconds would also be counted through from 2020 on."""
        if re.search("FREQ=(SECOND|MINUTE)LY", (rrule or "").upper()):
            raise ValueError("it must run every hour at most; minutes need interval or cron")
        try:
            return None if rrule is None else RRuleSchedule(rrule=rrule).rrule
        except pydantic.ValidationError as error:
            reason = error.errors()[0]["msg"].rpartition('": ')[2]
            raise ValueError(f"it must be a recurrence rule ({reason})") from None

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, zone: str) -> str:
        zones = available_timezones()
        if zone in zones:
            return zone
        one = "it must be one such as 'Europe/Berlin'"
        raise ValueError(did_you_mean(zone, sorted(zones), one))

    @model_validator(mode="after")
    def _has_one_rule(self) -> Self:
        if sum(rule is not None for rule in (self.cron, self.interval, self.rrule)) != 1:
            raise ValueError("it must have exactly one of cron, interval and rrule")
        return self

    @property
    def rule(self) -> str:
        """The rule as people write it."""
        return self.cron or self.rrule or f"every {self.interval}"

    def following(self) -> datetime:
        """When it runs next.

        Raises:
            SpecError: It never runs again.
        """
        try:
            found = asyncio.run(self._server_schedule().get_dates(n=1))
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
