"""A stored study on a terminal."""

import time
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.display.sparkline import best_so_far, sparkline
from flows.display.stored_facts import duration, stored_facts
from llmpso.study.facts import SHOWN, best_first
from llmpso.study.trial_rows import trial_rows
from llmpso.text import brief, one_line, short
from tasks.records.running_trials import RunningTrial
from tasks.records.stored_study import StoredStudy

MOST_ROWS = 30
"""Of a longer study the best trials are shown, the best first."""


def study_view(stored: StoredStudy, *, shows_all: bool = False) -> Group:
    """The facts, the curve of the best value, what runs now, and a table of trials.

    All trials are by number; of a longer study the best are shown, the best first.
    """
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for name, text in stored_facts(stored).items():
        facts.add_row(Text(one_line(name, 60)), Text(one_line(text, 300)))
    values = [trial.value for trial in stored.trials if trial.value is not None]
    facts.add_row("best so far", Text(_curve(best_so_far(values)), style="green"))
    for trial in stored.running:
        facts.add_row("now", Text(_running(trial)))
    parts: list[RenderableType] = [Text(one_line(stored.name, 200), style="bold"), facts]
    if stored.trials:
        parts += ["", _table(stored, shows_all=shows_all)]
    return Group(*parts)


def _curve(values: Sequence[float]) -> str:
    return f"{sparkline(values)}  {short(values[0])} → {short(values[-1])}" if values else "–"


def _running(trial: RunningTrial) -> str:
    params = ", ".join(f"{brief(name)} {short(value)}" for name, value in trial.params.items())
    since = duration(time.time() - trial.begun_at)
    return f"trial {trial.number}, {trial.source}, for {since}: {params}"


def _table(stored: StoredStudy, *, shows_all: bool) -> Table:
    trials, best = stored.trials, stored.best
    is_short = len(trials) <= MOST_ROWS or shows_all
    shown = trials if is_short else best_first(trials, best)[:MOST_ROWS]
    which = "the chosen one, the front, the next: " if stored.goals else "the best "
    title = None if is_short else f"{which}{MOST_ROWS} of {len(trials)}; --all shows all"
    rows = trial_rows(shown)
    names = [name for name in rows[0] if name == "state" or name.startswith(SHOWN)]
    table = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left")
    for name in names:
        heading = Text(one_line(name.removeprefix("params."), 40))
        table.add_column(heading, justify="left" if name in ("state", "source") else "right")
    styles = {trial.number: "bold" for trial in stored.goals.front(trials)}
    styles |= {} if best is None else {best.number: "bold green"}
    for row in rows:
        cells = ("–" if row[name] is None else short(row[name]) for name in names)
        table.add_row(*map(Text, cells), style=styles.get(row["number"]))
    return table
