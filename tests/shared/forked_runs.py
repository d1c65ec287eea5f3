"""Runs in processes of their own, which may be killed: forks of one that has imported all.

To import the flows takes longer than most runs of a test.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PARENT = """
import gc, json, os, sys

gc.disable()
import matplotlib.figure, mlflow.pytorch, scipy.optimize, torch
import mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store
from flows.retune import retune
from flows.tune import tune
from prefect.context import refresh_global_settings_context

def begin(code, environment, errors):
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = environment["PYTHONPATH"].split(os.pathsep)
    for stream, file in ((0, os.devnull), (1, errors), (2, errors)):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND), stream)
    os.chdir(environment["PWD"])
    refresh_global_settings_context()
    gc.enable()
    exec(code, {"__name__": "__main__"})
    sys.exit()

# A run looks for no garbage in what is imported: it would copy all of it.
gc.freeze()
for line in sys.stdin:
    order = json.loads(line)
    if "ended" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["ended"], 0)[1]), flush=True)
    elif pid := os.fork():
        print(pid, flush=True)
    else:
        begin(**order)
"""


class ForkedRuns:
    """Begins runs, and waits for them.

    Args:
        folder: Where the parent notes what it complains of.
    """

    def __init__(self, folder: Path) -> None:
        with (folder / "errors").open("w") as errors:
            self._parent = subprocess.Popen(
                [sys.executable, "-c", PARENT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def begin(self, code: str, errors: Path, **environment: str) -> int:
        """Execute code in a new process, in this one's working directory.

        Args:
            code: Python.
            errors: File for all that it prints.
            environment: Variables beside this process's own and Prefect's server.

        Returns:
            The process's number.
        """
        from prefect.settings import PREFECT_API_URL

        own = {"PREFECT_API_URL": PREFECT_API_URL.value() or "", "PWD": str(Path.cwd())}
        own["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        own["PREFECT_LOGGING_LEVEL"] = "WARNING"
        return self._ask(code=code, environment=os.environ | own | environment, errors=str(errors))

    def ended(self, pid: int) -> int:
        """Wait for a run; its exit code, which is negative for a signal."""
        return self._ask(ended=pid)

    def run(self, code: str, errors: Path, **environment: str) -> int:
        """Begin a run and wait for it; its exit code."""
        return self.ended(self.begin(code, errors, **environment))

    def close(self) -> None:
        """End the parent."""
        self._parent.stdin.close()
        self._parent.wait(30)
        self._parent.stdout.close()

    def _ask(self, **order: object) -> int:
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        return int(self._parent.stdout.readline())


@pytest.fixture(scope="session")
def forked_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedRuns]:
    """One parent for all tests of a process."""
    runs = ForkedRuns(tmp_path_factory.mktemp("forked"))
    yield runs
    runs.close()
