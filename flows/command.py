"""A flow as a command: its signature and docstring are the command line's."""

import inspect
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

import cyclopts
from prefect import Flow
from prefect.client.schemas.objects import State
from prefect.logging.handlers import PrefectConsoleHandler

from flows.command_line import RUN_FAILED, new_app
from flows.display.terminal import quiet
from flows.handover import handed_over
from flows.masked_logs import mask_logs
from flows.output import others_aside, print_result
from flows.prefect_server import local_prefect_server, wait_until_recorded
from llmpso.text import one_line
from tasks.records.flow_runs import announced

EXIT_CODES = (
    "Exit codes: 0 done, 1 the run failed, 2 it could not begin (one line says why), "
    "130 interrupted: the same command resumes."
)

OUTPUT = cyclopts.Group("Output")


@dataclass(frozen=True, slots=True)
class Command:
    """A flow that can be run from a command line."""

    flow: Flow[..., Any]
    check: Callable[[dict[str, Any]], object]
    """Raises `LLMPSOError` for parameters of the flow that cannot be run."""
    as_text: Callable[[Any], str]
    """What is printed of the flow's result."""
    as_record: Callable[[Any], dict[str, Any]] | None = None
    """What `--json` prints of it; there is no such option without."""
    examples: tuple[str, ...] = ()
    """Arguments worth showing in the help text."""

    def app(self) -> cyclopts.App:
        """The command line of the flow."""
        name = self.flow.name
        examples = "\n\n".join(f"    llmpso {name} {example}" for example in self.examples)
        app = new_app(name)
        app.help_epilogue = f"Examples:\n\n{examples}\n\n{EXIT_CODES}" if examples else EXIT_CODES
        app.default(_launcher(self))
        return app


def _launcher(command: Command) -> Callable[..., int]:
    """A function with the parameters of the flow, and with those of the command alone."""

    def launch(*args: Any, **kwargs: Any) -> int:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return _run(command, bound.arguments)

    own = {"quiet": "Print only the result."}
    if command.as_record is not None:
        own["json"] = "Print the result as JSON, for scripts; all else goes to standard error."
    signature = inspect.signature(command.flow.fn)
    extra = [_flag(name, text) for name, text in own.items()]
    signature = signature.replace(
        parameters=[*signature.parameters.values(), *extra], return_annotation=int
    )
    launch.__signature__ = signature  # type: ignore[attr-defined]
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
    silent = _quiet_console() if is_quiet or sys.stderr.isatty() else nullcontext()
    with others_aside(is_quiet or as_json), quiet(is_quiet), silent, handed_over():
        mask_logs()
        command.check(arguments)
        # Prefect's type of such a flow says that it returns nothing.
        ended: Callable[..., State[Any]] = command.flow
        with local_prefect_server(), announced():
            state = ended(**arguments, return_state=True)
            wait_until_recorded(str(state.state_details.flow_run_id))
    if not state.is_completed():
        print(f"failed: {one_line(state.message, 2_000)}", file=sys.stderr)
        return RUN_FAILED
    print_result(_result_text(command, state.result(), as_json))
    return 0


def _result_text(command: Command, result: Any, as_json: bool) -> str:
    if as_json and command.as_record is not None:
        return json.dumps(command.as_record(result), indent=2)
    return command.as_text(result)


@contextmanager
def _quiet_console() -> Iterator[None]:
    """Hide log lines from the terminal, where the live view is; Prefect's page has all of them."""
    names = (None, "prefect", "prefect.flow_runs", "prefect.task_runs")
    handlers = {each for name in names for each in logging.getLogger(name).handlers}
    consoles = [each for each in handlers if isinstance(each, PrefectConsoleHandler)]
    of_mlflow = logging.getLogger("mlflow")
    level = of_mlflow.level
    of_mlflow.setLevel(logging.WARNING)
    for console in consoles:
        console.addFilter(_is_not_of_prefect)
    try:
        yield
    finally:
        of_mlflow.setLevel(level)
        for console in consoles:
            console.removeFilter(_is_not_of_prefect)


def _is_not_of_prefect(record: logging.LogRecord) -> bool:
    return not record.name.startswith("prefect.")
