"""What a command starts does not outlive it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows import tethered

SLEEPER = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(600)"
PARENT = f"""
import subprocess, sys, time
command = [sys.executable, "-I", {tethered.__file__!r}, sys.executable, "-c", {SLEEPER!r}]
process = subprocess.Popen(command, stdin=subprocess.PIPE)
time.sleep(600)
"""


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_ends_with_its_parent(number) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.send_signal(number)
    parent.wait()
    parent.stdout.close()
    assert ends(pid)


def test_a_command_ends_with_its_tether() -> None:
    command = [sys.executable, "-I", tethered.__file__, sys.executable, "-c", SLEEPER]
    tether = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid = int(tether.stdout.readline())
    tether.terminate()
    assert tether.wait(10) != 0
    tether.stdin.close()
    tether.stdout.close()
    assert ends(pid)
