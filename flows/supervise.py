"""Run a command until its last user has ended: `python supervise.py USERS COMMAND…`.

The parent holds the other end of our standard input, which is closed however the parent ends.
Other users of the command hold a lock on the file USERS, which is released in the same way.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from types import FrameType

GRACE_SECONDS = 15.0


def main(users: str, *command: str) -> int:
    """Run the command until it ends, or the parent and all users have."""
    early: list[int] = []

    def note(signal_number: int, frame: FrameType | None) -> None:
        early.append(signal_number)

    def end(signal_number: int, frame: FrameType | None) -> None:
        process.terminate()

    # A signal while the command begins would end us, and leave the command behind.
    signal.signal(signal.SIGTERM, note)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, end)
    if early:
        process.terminate()
    threading.Thread(target=_end_with_users, args=(process, users), daemon=True).start()
    return process.wait()


def _end_with_users(process: subprocess.Popen[bytes], users: str) -> None:
    # Past `sys.stdin`: Python aborts if a thread waits in it when the command ends by itself.
    while os.read(0, 1):
        pass
    with open(users, "a") as file:
        # Held until the command has ended: a new user waits, then starts another one.
        fcntl.flock(file, fcntl.LOCK_EX)
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
