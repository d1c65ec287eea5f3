"""Prefect flows: one study (tune), and what is built on it."""

import os
import sys
from importlib.util import find_spec


def _working_directory() -> str:
    """Where the command was started; no library can be imported in one that is gone."""
    try:
        os.stat(os.curdir)
        return os.getcwd()
    except OSError as error:
        print(
            f"error: the working directory cannot be used ({error.strerror}); "
            "change to a folder that exists",
            file=sys.stderr,
        )
        raise SystemExit(2) from None


def _search_working_directory_last() -> None:
    """Keep a user's `tasks.py`, `queue.py` or `mlflow/` from replacing ours or a library's.

    `python -m` searches the working directory first; a user's objective is found there all the
    same. In a clone of this project the working directory is ours.
    """
    here, ours = _working_directory(), os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if sys.argv[0] == "-m" and here != ours:
        first = [path for path in sys.path if os.path.realpath(path) == here]
        sys.path[:] = [path for path in sys.path if path not in first] + first


def _check_libraries() -> None:
    """Name the extra that all flows need; our folder `mlflow/` is not the library."""
    for library in ("cyclopts", "mlflow", "prefect"):
        found = find_spec(library)
        if found is None or found.origin is None:
            print(
                f"error: the commands and flows need {library}: pip install 'llmpso[flows]'",
                file=sys.stderr,
            )
            raise SystemExit(2)


_search_working_directory_last()
_check_libraries()

import tasks  # noqa: E402, F401 - sets the environment that Prefect reads when it is imported
