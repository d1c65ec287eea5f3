"""Garbage is looked for while a command runs, and not while it imports."""

import gc
import os
import subprocess
import sys

import cyclopts
import pytest

from flows.command_line import run
from flows.quick_start import importing


def test_what_is_imported_is_looked_at_no_more() -> None:
    before = gc.get_freeze_count()
    with importing():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)


def test_an_import_that_fails_leaves_it_on() -> None:
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


def test_a_command_looks_for_garbage() -> None:
    app = cyclopts.App("number")
    app.default(lambda: int(gc.isenabled()))
    assert run(app, []) == 1


def test_a_command_of_a_module_looks_for_garbage_once_it_has_begun() -> None:
    """`python -m` imports the package, which stops the search, and then runs the module."""
    code = """
import gc, sys
sys.argv = ["-m"]
import flows
assert not gc.isenabled()
import cyclopts
from flows.command_line import run_module
app = cyclopts.App("number")
app.default(lambda: 40 + gc.isenabled())
sys.argv = ["number"]
raise SystemExit(run_module(app, "flows.number"))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 41
