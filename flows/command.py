"""A flow as a command: its signature and docstring are the command line's."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cyclopts
import pydantic
from prefect import Flow
from prefect.logging.handlers import PrefectConsoleHandler

from flows.prefect_server import local_prefect_server, wait_until_recorded
from llmpso.errors import LLMPSOError
from tasks.flow_runs import announced

RUN_FAILED, USAGE_ERROR = 1, 2


@dataclass(frozen=True, slots=True)
class Command:
    """A flow that can be run from a command line."""

    flow: Flow[..., Any]
    name: str
    """The module to run, for the help text."""
    check: Callable[[dict[str, Any]], object]
    """Raises `LLMPSOError` for parameters of the flow that cannot be run."""
    as_text: Callable[[Any], str]
    """What is printed of the flow's result."""


def main(command: Command) -> int:
    """Run a flow with the arguments of this process.

    Returns:
        The exit code: 0; 1 if the run failed; 2 with one line on what was wrong, and the way
        out, if it could not begin.
    """
    app = cyclopts.App(name=f"python -m {command.name}", version_flags=[])
    app.default(command.flow)
    try:
        called, bound, _ = app.parse_args(sys.argv[1:], exit_on_error=False, print_error=False)
        if called is not command.flow:
            called(*bound.args, **bound.kwargs)
            return 0
        bound.apply_defaults()
        return _run(command, bound.arguments)
    except cyclopts.CycloptsError as error:
        return _refuse(_one_line(error))
    except LLMPSOError as error:
        return _refuse(str(error))


def _run(command: Command, arguments: dict[str, Any]) -> int:
    """Check first, so that a mistake costs no server and leaves no failed run."""
    command.check(arguments)
    _quieten_console()
    with local_prefect_server(), announced():
        state = command.flow(**arguments, return_state=True)
        wait_until_recorded(str(state.state_details.flow_run_id))
    if not state.is_completed():
        print(f"failed: {state.message}", file=sys.stderr)
        return RUN_FAILED
    print(command.as_text(state.result()))
    return 0


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return USAGE_ERROR


def _one_line(error: cyclopts.CycloptsError) -> str:
    """What is wrong with an argument, without a library's help text."""
    if isinstance(error.__cause__, pydantic.ValidationError):
        reason = error.__cause__.errors()[0]
        name = error.argument.name if error.argument else "argument"
        return f"{name} is {reason['input']!r}; {reason['msg'][0].lower()}{reason['msg'][1:]}"
    return " ".join(str(error).split())


def _quieten_console() -> None:
    """Leave the terminal to the progress bar; Prefect's own page keeps all log lines."""
    if not sys.stderr.isatty():
        return
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.setLevel(logging.CRITICAL)
