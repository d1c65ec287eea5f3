"""The result of a retuning: one record for MLflow, for Prefect and for people."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from flows.display.summary import STOPPED, Summary
from llmpso.escaping import fenced
from llmpso.retuning.degradation import Degradation, LiveError
from llmpso.retuning.drift import ColumnDrift
from llmpso.retuning.promotion import Verdict
from llmpso.space import Params
from llmpso.study.stopping import StopReason
from llmpso.text import brief, one_line, plural, printable
from tasks.store.names import keys
from tasks.store.page_links import linked_pages, version_page


class Decision(StrEnum):
    """What happened to the model in production."""

    FIRST = "first"
    """There was no champion; now there is."""
    PROMOTED = "promoted"
    REFRESHED = "refreshed"
    """The champion's own configuration, trained again on the newest data, serves."""
    KEPT = "kept"
    RESTORED = "restored"
    """The champion was gone, and no better one was found than the one before it."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a retuning knows at one of its steps; later steps add to it."""

    drift: tuple[ColumnDrift, ...] = ()
    degradation: Degradation | None = None
    live: LiveError | None = None
    study: Summary | None = None
    """The study that looked for a better configuration."""
    verdict: Verdict | None = None
    """Challenger against champion."""
    refresh: Verdict | None = None
    """The champion's configuration, trained again, against the version that serves."""
    compared: str = ""
    """Page of MLflow's on which the two stand side by side; empty if nothing was compared."""

    @property
    def degraded(self) -> Degradation | None:
        """By which error the champion has become worse; None if by none."""
        live = self.live.degradation if self.live else None
        return next((h for h in (self.degradation, live) if h is not None and h.is_degraded), None)


@dataclass(frozen=True, slots=True)
class RetuneReport:
    """The outcome of one retuning in plain values."""

    model: str
    outcome: Decision
    reason: str
    """Why, in one sentence."""
    version: str
    """The version that serves now."""
    before: str
    """The version that served before; empty if none did."""
    run_id: str
    tracking_uri: str
    drift: Sequence[ColumnDrift] = ()
    degradation: Degradation | None = None
    live: LiveError | None = None
    """What became of its predictions in production; None if that is not known."""
    study: Summary | None = None
    """The study; None if nothing was tuned."""
    verdict: Verdict | None = None
    refresh: Verdict | None = None
    warnings: Sequence[str] = ()
    """What people should know of the champion: that it is gone, or its data."""
    compared: str = ""
    """Page of MLflow's on which both stand side by side; empty if nothing was compared."""
    params: Params = field(default_factory=dict)
    """Those of the version that serves now."""

    @property
    def headline(self) -> str:
        """What happened to the model, and why."""
        what = {
            Decision.FIRST: f"version {self.version} is its first champion",
            Decision.PROMOTED: f"version {self.version} {self._instead}",
            Decision.REFRESHED: f"version {self.version} {self._instead}",
            Decision.KEPT: f"version {self.version} stays",
            Decision.RESTORED: f"version {self.version} serves again",
        }
        return f"{self.model}: {what[self.outcome]}: {self.reason}"

    @property
    def _instead(self) -> str:
        return f"replaces version {self.before}" if self.before else "serves, where none did"

    def figures(self) -> dict[str, float]:
        """The numbers that MLflow records."""
        shown = self.drift[:20]
        names = keys(c.column for c in shown)
        found: dict[str, float] = {f"psi.{names[c.column]}": c.psi for c in shown}
        if self.degradation is not None:
            found["serving_error"] = self.degradation.error
        if self.live is not None:
            found["live_error"] = self.live.error
            found["live_predictions"] = float(self.live.n_predictions)
        if self.verdict is not None:
            found |= {
                "champion_error": self.verdict.champion_error,
                "challenger_error": self.verdict.challenger_error,
                "improvement": self.verdict.improvement,
                "improvement_at_least": self.verdict.at_least,
            }
        if self.refresh is not None:
            found |= {
                "serving_error": self.refresh.champion_error,
                "refreshed_error": self.refresh.challenger_error,
                "refresh_improvement": self.refresh.improvement,
                "refresh_improvement_at_least": self.refresh.at_least,
            }
        return found

    def record(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)


def description(report: RetuneReport, study: str, prefect_run: str) -> str:
    """The report in Markdown, for the page of its run in MLflow.

    Args:
        report: The outcome.
        study: Page of the study; empty if there was none.
        prefect_run: Address of the flow run; empty if it is not known.
    """
    pages = {
        "champion and challenger side by side": report.compared,
        "the study": study,
        f"version {report.version}": version_page(report.model, report.version),
        "the run in Prefect": prefect_run,
    }
    return f"{linked_pages(pages)}\n\n{fenced(as_text(report))}"


def as_text(report: RetuneReport) -> str:
    """The report as lines that fit a screen."""
    lines = [report.headline, *(f"warning: {text}" for text in report.warnings), ""]
    lines += [
        f"  {brief(c.column)}: index {c.psi:.2f}, p {c.p_value:.2g}{'   drifted' * c.has_drifted}"
        for c in report.drift[:10]
    ]
    if report.degradation is not None:
        lines.append(f"  {report.degradation.reason}")
    if report.live is not None:
        lines.append(f"  {report.live.reason}")
    if report.outcome is Decision.REFRESHED and report.verdict is not None:
        lines.append(f"  {report.verdict.reason}")
    if report.study is not None:
        study = report.study
        lines += [
            "",
            f"study      {plural(study.evaluations, 'evaluation')}, best {study.best_value:.4g} "
            f"from {study.best_source}; {STOPPED[StopReason(study.stop_reason)]}",
            f"           {one_line(study.best_params)}",
            *([f"           {one_line(study.goals)}"] if study.goals else []),
            *(f"note       {note}" for note in study.notes),
        ]
    lines += ["", f"serves     models:/{report.model}@champion   (version {report.version})"]
    if report.outcome in (Decision.PROMOTED, Decision.REFRESHED) and report.before:
        lines.append(f"go back    llmpso rollback {shlex.quote(report.model)}")
    return printable(
        "\n".join([*lines, f"MLflow     {report.tracking_uri}   (run {report.run_id})"])
    )
