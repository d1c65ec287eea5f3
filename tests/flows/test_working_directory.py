"""A command that is started where nothing can be started."""

import os
import subprocess
import sys
from pathlib import Path


def test_a_working_directory_that_is_gone_is_said_before_anything_is_imported(
    tmp_path: Path,
) -> None:
    code = "import os, sys; os.rmdir(os.getcwd()); sys.argv = ['llmpso']; import flows.tune"
    (tmp_path / "gone").mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "gone",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: the working directory cannot be used (No such file or directory); "
        "change to a folder that exists\n"
    )
