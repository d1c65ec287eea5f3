"""A running study on a terminal: one live view. Without a terminal, the log says the same."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.display.progress import StudyProgress
from llmpso.text import one_line, plural

IS_QUIET: ContextVar[bool] = ContextVar("is_quiet", default=False)
"""Whether the command prints nothing but its result."""

RUNNING, WAITING, MOST_SHOWN = "●", "○", 24
"""One running training, one waiting training; above 24 in total numbers are shown instead."""


@contextmanager
def quiet(is_wanted: bool) -> Iterator[None]:
    """Show no study while the block runs, if that is wanted."""
    token = IS_QUIET.set(is_wanted)
    try:
        yield
    finally:
        IS_QUIET.reset(token)


@contextmanager
def shown_on_terminal(progress: StudyProgress, n_workers: int, page: str = "") -> Iterator[None]:
    """Show a study while the block runs, if there is a terminal and `--quiet` is not set.

    Args:
        progress: Of the study.
        n_workers: Trainings at a time.
        page: Address of the run in Prefect; the log, which shows it too, is silent on a terminal.
    """
    console = Console(stderr=True)
    if IS_QUIET.get() or not sys.stderr.isatty():
        yield
        return
    if page:
        console.print(Text(f"Prefect: {page}"), soft_wrap=True)
    for note in progress.notes:
        console.print(Text(f"note: {note}", style="yellow"))
    with Live(
        get_renderable=lambda: view(progress, n_workers), console=console, refresh_per_second=4
    ):
        yield


def view(progress: StudyProgress, n_workers: int) -> Group:
    """The state of a study: its best value, what is running, and how many trials are done."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    table.add_row("metric", Text(one_line(progress.metric, 100)))
    table.add_row("best", _best(progress))
    table.add_row("now", _now(progress, n_workers))
    if progress.n_asked:
        table.add_row("LLM", _requests(progress))
    return Group(table, _bar(progress))


def _bar(progress: StudyProgress) -> Table:
    bar = Table.grid(padding=(0, 2))
    paused = f", {len(progress.paused)} paused" if progress.paused else ""
    failed = f", {progress.n_failed} failed" if progress.n_failed else ""
    bar.add_row(
        ProgressBar(total=progress.budget, completed=progress.spent, width=36),
        f"{progress.done}/{progress.budget}{paused}{failed}",
        Text(_left(progress.seconds_left), style="dim"),
    )
    return bar


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left"


def _best(progress: StudyProgress) -> Text:
    best = progress.best
    if best is None or best.value is None:
        return Text("–")
    since = len(progress.trials) - 1 - progress.trials.index(best)
    text = Text(f"{best.value:.5g}", style="bold green")
    text.append(f"  from {best.source}", style="default")
    return text.append(
        f", {plural(since, 'trial')} ago" if since else ", the latest trial", style="dim"
    )


def _now(progress: StudyProgress, n_workers: int) -> Text:
    if progress.is_asking:
        return Text("waiting for the LLM", style="yellow")
    if not progress.n_in_flight:
        return Text("choosing the next configurations")
    running = min(progress.n_in_flight, n_workers)
    waiting = progress.n_in_flight - running
    text = f"{running} running, {waiting} waiting"
    if progress.n_in_flight > MOST_SHOWN:
        return Text(text)
    return Text(f"{RUNNING * running}{WAITING * waiting}  {text}")


def _requests(progress: StudyProgress) -> Text:
    return Text(plural(progress.n_asked, "request"))
