"""Look at a study in the terminal, without a server: `llmpso show`."""

import json
import sys
from typing import Annotated

import cyclopts
from rich.console import Console

from flows.command_line import new_app, run_module
from flows.display.stored_facts import stored_record
from flows.display.stored_text import study_view
from flows.output import print_result
from tasks.records.stored_study import stored_study
from tasks.store.address import store_address

APP = new_app("show")

FILE_WIDTH = 240
"""Columns where the output is no terminal."""


@APP.default
def show(
    study: str | None = None,
    *,
    shows_all: Annotated[bool, cyclopts.Parameter(name="--all")] = False,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json")] = False,
) -> None:
    """Show a study, running or not: its best, the curve, what runs now, its trials.

    Args:
        study: Id of its run in MLflow, its name, or what it tunes; the newest if not given.
        shows_all: Show all trials of a long study, not only the best.
        as_json: Print everything as JSON, for scripts.
    """
    stored = stored_study(store_address(), study)
    if as_json:
        print_result(json.dumps(stored_record(stored), indent=2))
        return
    width = None if sys.stdout.isatty() else FILE_WIDTH
    Console(width=width).print(study_view(stored, shows_all=shows_all))


if __name__ == "__main__":
    raise SystemExit(run_module(APP, "flows.show"))
