"""Who keeps slots: each source is judged against what the surrogate would have picked.

The idea of a gate that justifies or rejects every point of a language model is that of LLINBO
(arXiv 2505.14756); here what a source promises, and what came of it, moves the gate.
"""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from llmpso.trial import Source

PRIOR = 1.0
"""Wins, and as many losses, that a source is taken to have had before the study."""

LEAST_TRUST = 0.25
"""A source with less trust is asked no more."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one source has done in this study."""

    proposed: int = 0
    admitted: int = 0
    """Proposals that were evaluated."""
    won: int = 0
    """Evaluations at least as good as the surrogate expected of its own pick for the slot; among
    the first positions, those better than half of the ones that nobody chose."""

    @property
    def trust(self) -> float:
        """Share of proposals that were worth their slot, in (0, 1); 1/2 before any."""
        return (self.won + PRIOR) / (self.proposed + 2 * PRIOR)


class Credit:
    """The records of all sources, and the rule by which they gain and lose slots."""

    def __init__(self) -> None:
        self.records: dict[Source, Record] = {}

    def trust(self, source: Source) -> float:
        """How far a source is believed, in (0, 1)."""
        return self.records.get(source, Record()).trust

    def is_heard(self, source: Source) -> bool:
        """Whether a source is still worth asking."""
        return self.trust(source) >= LEAST_TRUST

    def admits(self, source: Source, promised: float, rival: float) -> bool:
        """Whether a proposal gets the slot.

        Args:
            source: Whose proposal it is.
            promised: Improvement that the surrogate expects of it.
            rival: Improvement that the surrogate expects of its own pick: a fully trusted
                source needs none, a distrusted one as much.
        """
        return promised >= (1 - self.trust(source)) * rival

    def proposed(self, source: Source, *, admitted: bool) -> None:
        """Note a proposal; one that is not admitted counts against its source."""
        record = self.records.get(source, Record())
        self.records[source] = replace(
            record, proposed=record.proposed + 1, admitted=record.admitted + int(admitted)
        )

    def refused(self, source: Source, n_refused: int) -> None:
        """Count answers that held nothing to evaluate: refused, repeated or missing."""
        for _ in range(n_refused):
            self.proposed(source, admitted=False)

    def judged(self, source: Source, *, won: bool) -> None:
        """Note what came of an admitted proposal."""
        record = self.records.get(source, Record())
        self.records[source] = replace(record, won=record.won + int(won))


@runtime_checkable
class Credited(Protocol):
    """An optimizer that keeps the record of its sources."""

    @property
    def credit(self) -> Credit:
        """The record of each source in this study."""
        ...
