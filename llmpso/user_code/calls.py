"""Running the user's own code before a study: any error becomes one line."""

import io
import numbers
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from llmpso.errors import LLMPSOError
from llmpso.masking import masked
from llmpso.text import one_line

T = TypeVar("T")

MOST_CHARACTERS = 8_000
"""Of a traceback; its end says what went wrong."""

_STANDARD_LIBRARY = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}


class UserCodeError(LLMPSOError):
    """Code of the user's own cannot be run; the text names the exception and the line."""


def run_user_code(action: Callable[[], T]) -> T:
    """Call the user's own code, and return what it returns.

    What it prints goes to standard error; if it fails, only the reason is shown, in one line.

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
        reason = f"{described(error)}{_place(error)}{_way_out(printed.getvalue())}"
        raise UserCodeError(reason) from error
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
    """Advice for code that ends the program; an argument parser prints its reason last."""
    last = one_line("".join(printed.splitlines()[-1:]))
    said = f", after it printed {last!r}" if last else ""
    return f"{said}; put what a script does under `if __name__ == '__main__':`"


def traceback_of(error: BaseException) -> str:
    """The traceback of an exception from the user's first line on, of bounded length."""
    try:
        found = traceback.TracebackException.from_exception(error)
        while found.stack and _is_library(found.stack[0].filename):
            found.stack.pop(0)
        text = "".join(found.format())
    except Exception:  # noqa: BLE001 - a user's exception may fail to describe itself
        text = described(error)
    # Masked before the final cut: half a password is not recognised.
    text = masked(text[-2 * MOST_CHARACTERS :])[-MOST_CHARACTERS:]
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


def number_of(value: Any) -> float:
    """A real number, or an array or tensor that holds one, as a float.

    Raises:
        TypeError: It is none.
        ValueError: It holds several.
        RuntimeError: The same, in torch's words.
    """
    held = value.item() if callable(getattr(value, "item", None)) else value
    if isinstance(held, bool) or not isinstance(held, numbers.Real | Decimal):
        raise TypeError(f"a {type(held).__name__} is no number")
    return float(held)


def last_line(text: str) -> str:
    """The user's last file and line in a traceback, in brackets; else a library's."""
    places = re.findall(r'^  File "(.+)", line (\d+)', text, flags=re.MULTILINE)
    own = [place for place in places if not _is_library(place[0])]
    return "".join(f" ({Path(file).name}, line {line})" for file, line in (own or places)[-1:])


def _place(error: BaseException) -> str:
    """The last line of the user's that ran; a syntax error names its own."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename.endswith(".py") and not _is_library(f.filename)]
    if isinstance(error, SyntaxError) or not own:
        return ""
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})"


def _is_library(filename: str) -> bool:
    path = Path(filename)
    not_theirs = (Path(__file__).parents[1], *_STANDARD_LIBRARY)
    return "site-packages" in path.parts or any(folder in path.parents for folder in not_theirs)
