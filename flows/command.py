"""A flow as a command: its signature and docstring are the command line's."""

import inspect
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import pydantic
from prefect import Flow
from prefect.client.schemas.objects import State
from prefect.logging.handlers import PrefectConsoleHandler

from flows.display.terminal import IS_QUIET
from flows.handover import handed_over
from flows.masked_logs import mask_logs
from flows.output import others_aside, print_result
from flows.prefect_server import local_prefect_server, wait_until_recorded
from llmpso.errors import LLMPSOError
from llmpso.masking import mask_tracebacks
from llmpso.option_group import reason
from llmpso.text import one_line
from tasks.flow_runs import announced

RUN_FAILED, USAGE_ERROR, INTERRUPTED = 1, 2, 130

EXIT_CODES = (
    "Exit codes: 0 done, 1 the run failed, 2 it could not begin (one line says why), "
    "130 interrupted: the same command goes on."
)

OUTPUT = cyclopts.Group("Output")


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
    as_record: Callable[[Any], dict[str, Any]] | None = None
    """What `--json` prints of it; there is no such option without."""
    examples: tuple[str, ...] = ()
    """Arguments worth showing in the help text."""


def main(command: Command) -> int:
    """Run a flow with the arguments of this process.

    Returns:
        The exit code: 0; 1 if the run failed; 2 with one line on what was wrong, and the way
        out, if it could not begin; 130 if it was interrupted.
    """
    mask_tracebacks()
    app, launched = _app(command)
    try:
        called, bound, _ = app.parse_args(sys.argv[1:], exit_on_error=False, print_error=False)
        if called is not launched:
            called(*bound.args, **bound.kwargs)
            return 0
        bound.apply_defaults()
        return _run(command, bound.arguments)
    except cyclopts.CycloptsError as error:
        return _refuse(_one_line(error))
    except LLMPSOError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on where it was", file=sys.stderr)
        return INTERRUPTED


def _app(command: Command) -> tuple[cyclopts.App, Callable[..., None]]:
    """The command line, and what its parser calls for anything but help and completion."""
    script = Path(sys.argv[0]).name
    name = script if script.startswith("llmpso-") else f"python -m {command.name}"
    examples = "\n\n".join(f"    {name} {example}" for example in command.examples)
    app = cyclopts.App(
        name=name,
        version_flags=[],
        default_parameter=cyclopts.Parameter(negative=()),
        help_format="plaintext",
        help_epilogue=f"Examples:\n\n{examples}\n\n{EXIT_CODES}" if examples else EXIT_CODES,
    )
    launched = _launcher(command)
    app.default(launched)
    if script == name:
        app.register_install_completion_command(help="Complete options in this shell with Tab.")
    return app, launched


def _launcher(command: Command) -> Callable[..., None]:
    """A function with the parameters of the flow, and with those of the command alone."""

    def launch(**arguments: Any) -> None:
        """Never called: only its signature is read."""

    own = {"quiet": "Say nothing but the result."}
    if command.as_record is not None:
        own["json"] = "Print the result as JSON, for scripts; all else goes to standard error."
    signature = inspect.signature(command.flow.fn)
    extra = [_flag(name, text) for name, text in own.items()]
    launch.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *extra], return_annotation=None
    )
    launch.__doc__ = command.flow.fn.__doc__
    return launch


def _flag(name: str, text: str) -> inspect.Parameter:
    about = cyclopts.Parameter(help=text, negative=(), group=OUTPUT)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, about]
    )


def _run(command: Command, arguments: dict[str, Any]) -> int:
    """Check first, so that a mistake costs no server and leaves no failed run."""
    is_quiet, as_json = arguments.pop("quiet"), arguments.pop("json", False)
    with others_aside(is_quiet or as_json), handed_over():
        mask_logs()
        command.check(arguments)
        IS_QUIET.set(is_quiet)
        if is_quiet or sys.stderr.isatty():
            _quieten_console()
        # Of a flow that may return anything, its type says that it returns nothing.
        ended: Callable[..., State[Any]] = command.flow
        with local_prefect_server(), announced():
            state = ended(**arguments, return_state=True)
            wait_until_recorded(str(state.state_details.flow_run_id))
    if not state.is_completed():
        print(f"failed: {one_line(state.message, 2_000)}", file=sys.stderr)
        return RUN_FAILED
    print_result(_told(command, state.result(), as_json))
    return 0


def _told(command: Command, result: Any, as_json: bool) -> str:
    if as_json and command.as_record is not None:
        return json.dumps(command.as_record(result), indent=2)
    return command.as_text(result)


def _refuse(message: str) -> int:
    print(f"error: {one_line(message, 2_000)}", file=sys.stderr)
    return USAGE_ERROR


def _one_line(error: cyclopts.CycloptsError) -> str:
    """What is wrong with an argument, without a library's help text."""
    if isinstance(error.__cause__, pydantic.ValidationError):
        return reason(error.__cause__, error.argument.name if error.argument else "argument")
    return one_line(error)


def _quieten_console() -> None:
    """Leave the terminal to the view, or to nothing; Prefect's own page keeps all log lines."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    for name in (None, "prefect", "prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.addFilter(_is_not_of_prefect)


def _is_not_of_prefect(record: logging.LogRecord) -> bool:
    return not record.name.startswith("prefect.")
