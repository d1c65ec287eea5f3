"""Claims on a lock: tags of what is locked, each of one process, and how long they are silent."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SILENT_LOOKS = 60
"""A claim that stays the same over so many looks is that of a dead process."""

Claims = dict[str, str]
"""Tags that claim a lock; each holds who it is, as JSON."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that claims a lock."""

    host: str
    process: str
    at: datetime
    """Its last sign of life, by its own clock."""

    @property
    def silent_seconds(self) -> float:
        """Time since then; clocks of two machines may differ."""
        return (datetime.now(UTC) - self.at).total_seconds()


def holders(tags: Mapping[str, str], prefix: str) -> list[Holder]:
    """The processes that claim a lock, as its tags say, alive or not.

    Args:
        tags: Of what is locked.
        prefix: How the keys of claims begin.
    """
    found = []
    for facts in (facts_of(tag) for key, tag in tags.items() if key.startswith(prefix)):
        with suppress(LookupError, TypeError, ValueError):
            at = datetime.fromisoformat(facts["time"])
            found.append(Holder(str(facts["host"]), str(facts["process"]), at))
    return found


def facts_of(claim: str) -> dict[str, Any]:
    """Who claims; empty if the tag was written by something else."""
    with suppress(ValueError):
        facts = json.loads(claim)
        return facts if isinstance(facts, dict) else {}
    return {}


def holder_text(claim: str) -> str:
    """Who claims, for people."""
    facts = facts_of(claim)
    return f"process {facts.get('process', '?')} on {facts.get('host', '?')}"


class Watch:
    """How long claims have been the same, in looks at them."""

    def __init__(self) -> None:
        self._seen: Claims = {}
        self._n_same: dict[str, int] = {}
        self._alive: set[str] = set()

    def look(self, claims: Claims) -> None:
        """Compare the claims of this moment with those of the last look."""
        for key, claim in claims.items():
            is_same = self._seen.get(key) == claim
            self._n_same[key] = self._n_same.get(key, 0) + 1 if is_same else 0
            if key in self._seen and not is_same:
                self._alive.add(key)
        self._seen = dict(claims)

    def is_silent(self, key: str) -> bool:
        """Whether it stayed the same for so long that its process is dead."""
        return self._n_same[key] >= SILENT_LOOKS

    def is_alive(self, key: str) -> bool:
        """Whether it changed while we looked."""
        return key in self._alive
