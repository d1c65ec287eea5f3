"""Code of the user's own that is run before a study: whatever it does wrong is one line."""

import io
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TypeVar

from llmpso.errors import LLMPSOError
from llmpso.text import one_line

T = TypeVar("T")

_RUNS_IT = ("importlib", "runpy")
"""What stands between us and the user's code; a line of it would help nobody."""


class UserCodeError(LLMPSOError):
    """Code of the user's own cannot be run; the text says what it raised, and where."""


def run_foreign(action: Callable[[], T]) -> T:
    """What code of the user's own returns.

    What it prints goes to standard error, and is left out if it fails: the reason is one line.

    Raises:
        UserCodeError: It raised something, or ended the process; `LLMPSOError`s go through.
    """
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            result = action()
    except LLMPSOError:
        raise
    except SystemExit as error:
        told = f"{described(error)}{_place(error)}{_way_out(printed.getvalue())}"
        raise UserCodeError(told) from error
    except Exception as error:  # noqa: BLE001 - a user's code may raise anything
        raise UserCodeError(f"{described(error)}{_place(error)}") from error
    sys.stderr.write(printed.getvalue())
    return result


def described(error: BaseException) -> str:
    """The kind of an exception and what it says, on one line; it may refuse to say anything."""
    try:
        text = one_line(error)
    except Exception:  # noqa: BLE001 - a user's exception may fail to describe itself
        text = "its text cannot be read"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _way_out(printed: str) -> str:
    """What to do about code that ends the program; a parser says last which argument it misses."""
    last = one_line("".join(printed.splitlines()[-1:]))
    said = f", after it printed {last!r}" if last else ""
    return f"{said}; put what a script does under `if __name__ == '__main__':`"


def _place(error: BaseException) -> str:
    """The last line of the user's that ran; a syntax error names its own."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename.endswith(".py") and not _is_library(f.filename)]
    if isinstance(error, SyntaxError) or not own:
        return ""
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})"


def _is_library(filename: str) -> bool:
    path = Path(filename)
    is_ours = Path(__file__).parent in path.parents
    return is_ours or "site-packages" in path.parts or path.stem in _RUNS_IT
