"""Shared by all commands: joining them, running them, and errors in one line."""

import sys
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import cyclopts
import pydantic

from llmpso import __version__
from llmpso.errors import LLMPSOError
from llmpso.extras import missing
from llmpso.masking import mask_tracebacks
from llmpso.option_group import reason
from llmpso.options import RENAMED
from llmpso.text import did_you_mean, one_line

RUN_FAILED, USAGE_ERROR, INTERRUPTED = 1, 2, 130

COMMANDS = {
    "tune": "Tune a model, and register the best.",
    "retune": "Tune again on the newest data, and let the better model serve.",
    "rollback": "Let the previous version of a model serve again.",
    "show": "Look at a study in the terminal: its best, what runs now, its trials.",
    "report": "Write a study as one HTML file to send to somebody.",
    "import": "Read a study from a CSV file or from Optuna, for later ones to begin from.",
    "export": "Write a study as a CSV file, or into a storage of Optuna.",
    "serve": "Run what deployments schedule, without a worker.",
    "serve-model": "Serve the champion of a model over HTTP, and its successors.",
    "predict": "Predict with the champion of a model for the rows of a file.",
    "benchmark": "Compare search methods on problems whose best value is known.",
    "select-prompt": "Find the prompt that suits a language model.",
    "surface": "Train every size of a network with three seeds, for the benchmark.",
    "warm-start": "Measure what starting from earlier studies is worth.",
}
"""Each is the `APP` of the module of its name, which is imported when the command is used."""

MODULES = {"import": "import_study", "export": "export_study"}
"""Of commands whose names no module can have."""

MEASUREMENTS = ("benchmark", "select-prompt", "surface", "warm-start")
"""Commands that stand apart in the help text."""


SERVERS = {"serve", "serve-model"}
"""Commands that run until they are stopped."""

SPACE_FILES = {".yaml", ".yml", ".json", ".py"}


def joined_app() -> cyclopts.App:
    """All commands as one."""
    app = new_app("llmpso")
    app.help = (
        "Tune hyperparameters: a particle swarm guided by a surrogate, and by a language model if "
        "there is one."
    )
    for name, text in COMMANDS.items():
        group = "Measurements" if name in MEASUREMENTS else None
        module = MODULES.get(name, name.replace("-", "_"))
        app.command(f"flows.{module}:APP", name=name, help=text, group=group)
    app.register_install_completion_command(help="Complete commands and options with Tab.")
    return app


def new_app(name: str) -> cyclopts.App:
    """A command line without functions yet."""
    return cyclopts.App(
        name=name,
        version=__version__,
        default_parameter=cyclopts.Parameter(negative=(), show_default=_shown_default),
        help_format="plaintext",
    )


def _shown_default(default: Any) -> str | None:
    """A default as the help text has it; None where it is that the option is not given."""
    return None if default is False or default in (None, ()) else str(default)


def run_module(app: cyclopts.App, module: str) -> int:
    """Run the command of a module by its own name, as `python -m` does."""
    own = copy(app)
    own.usage = f"Usage: python -m {module} [OPTIONS] [ARGS]"
    return run(own, sys.argv[1:])


def run(app: cyclopts.App, arguments: Sequence[str]) -> int:
    """Run a command.

    Returns:
        The exit code: 0; 1 if the run failed; 2, with one line that says what is wrong and how
        to correct it, if it could not start; 130 if it was interrupted.
    """
    mask_tracebacks()
    try:
        called, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
        return called(*bound.args, **bound.kwargs) or 0
    except cyclopts.CycloptsError as error:
        return _refuse(_one_line(error))
    except LLMPSOError as error:
        return _refuse(str(error))
    except ImportError as error:
        return _refuse(_missing(error))
    except KeyboardInterrupt:
        is_server = not SERVERS.isdisjoint({*app.name, *arguments[:1]})
        how = "stopped" if is_server else "interrupted; run the same command again to resume"
        print(how, file=sys.stderr)
        return INTERRUPTED


def _missing(error: ImportError) -> str:
    """The extra that installs what the module of a command imports."""
    cause = error.__cause__ or error
    if not isinstance(cause, ModuleNotFoundError) or _is_ours(cause):
        raise error
    return missing("this command", cause, "all,benchmark")


def _is_ours(error: ModuleNotFoundError) -> bool:
    """Whether our own installation is incomplete, which no extra mends."""
    return (error.name or "").partition(".")[0] in ("flows", "tasks", "llmpso")


def _refuse(message: str) -> int:
    print(f"error: {one_line(message, 2_000)}", file=sys.stderr)
    return USAGE_ERROR


def _one_line(error: cyclopts.CycloptsError) -> str:
    """What is wrong with an argument, without a library's help text."""
    match error:
        case cyclopts.UnknownCommandError(unused_tokens=[name, *_]):
            return f"there is no command {name!r}; {did_you_mean(name, COMMANDS)}"
        case cyclopts.UnknownOptionError(token=token):
            return _new_name(token.keyword or token.value) or one_line(error)
        case cyclopts.CoercionError(token=token) if token and _is_space_file(token):
            return f"{one_line(error)} A file with a space is named with --space-file"
    if isinstance(error.__cause__, pydantic.ValidationError):
        return reason(error.__cause__, error.argument.name if error.argument else "argument")
    return one_line(error)


def _is_space_file(token: cyclopts.Token) -> bool:
    return token.keyword == "--space" and Path(token.value).suffix in SPACE_FILES


def _new_name(argument: str) -> str:
    """What an option is called now; empty if it never had the name that was given."""
    flag = argument.partition("=")[0]
    now = RENAMED.get(flag.removeprefix("--").replace("-", "_"))
    return f"there is no option {flag}; it is --{now} now" if now else ""
