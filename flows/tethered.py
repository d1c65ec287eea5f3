"""Run a command for as long as the parent lives: `python tethered.py COMMAND…`.

The parent holds the other end of our standard input. However it ends, that is closed.
"""

import signal
import subprocess
import sys
import threading
from types import FrameType

GRACE_SECONDS = 15.0


def main(command: list[str]) -> int:
    """Run the command until it ends, or the parent does."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def end(signal_number: int, frame: FrameType | None) -> None:
        process.terminate()

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=_end_with_parent, args=(process,), daemon=True).start()
    return process.wait()


def _end_with_parent(process: subprocess.Popen[bytes]) -> None:
    while sys.stdin.buffer.read(1):
        pass
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
