"""A process and all that it started: their memory, and how to kill them, from Linux's /proc.

Ours, because psutil finds the descendants of a process, but not the members of its session, which
are still there after the leader has ended; and ten checks a second must read few files.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


def resident_mb(leader: int) -> float:
    """Memory of a process and all that it started, in MiB; what they share counts once."""
    members = _members(leader)
    resident = sum(map(_resident_mb, members))
    return resident if len(members) < 2 else min(resident, sum(map(_own_mb, members)))


def kill_tree(leader: int, *, spares_leader: bool = False) -> None:
    """Kill a process that leads a session, and all that it started, also in other sessions.

    Its children are found after its own end as well: by the session.
    """
    if not Path("/proc/self/stat").exists():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
        return
    killed = {leader} if spares_leader else set()
    while found := _members(leader) - killed:  # some may start more before they are killed
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= found


def _members(leader: int) -> set[int]:
    """Living processes of a session, and the descendants of each in others."""
    parents, members = {}, {leader} if Path(f"/proc/{leader}").exists() else set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name of the program, in brackets, may hold spaces and brackets.
            state, parent, _, session, *_ = path.read_text().rpartition(")")[2].split()
            if state == "Z":
                members.discard(int(path.parent.name))
                continue
            parents[int(path.parent.name)] = int(parent)
            if int(session) == leader:
                members.add(int(path.parent.name))
    while more := {pid for pid, parent in parents.items() if parent in members} - members:
        members |= more
    return members


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MB
    except OSError:
        return 0.0


def _own_mb(pid: int) -> float:
    """Memory of a process, with its share of what it has in common with others."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return _resident_mb(pid)
