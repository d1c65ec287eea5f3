"""What a command prints where something else reads it."""

import subprocess
import sys


def test_a_reader_that_has_enough_is_no_error() -> None:
    code = "from flows.output import print_result; print_result('x' * 2**20)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
