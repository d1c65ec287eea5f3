"""What `from llmpso import …` finds, and what it costs to ask for nothing."""

import subprocess
import sys

import pytest

import llmpso


def test_each_public_name_is_there() -> None:
    assert sorted(dir(llmpso)) == sorted(llmpso.__all__)
    assert all(getattr(llmpso, name) is not None for name in llmpso.__all__)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'llmpso' has no attribute 'Fload'"):
        llmpso.Fload  # noqa: B018


def test_the_import_alone_loads_no_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import llmpso; new = set(sys.modules) - before; "
        "assert not {'numpy', 'pydantic', 'scipy', 'typing'} & new, new"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
