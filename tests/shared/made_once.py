"""What takes seconds to make, and all processes of a test run can share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """A file or folder that the first process of a test run makes for all of them."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    path, made = folder / name, folder / f"{name}.made"
    with FileLock(f"{path}.once"):
        if not made.exists():
            make(path)
            made.touch()
    return path
