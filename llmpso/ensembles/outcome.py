"""What became of an ensemble: its members, what was measured, and whether it is registered."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from llmpso.space import Params


@dataclass(frozen=True, slots=True)
class Member:
    """One configuration of an ensemble."""

    params: Params
    weight: float = 1.0
    """Its share of the average."""
    number: int | None = None
    """Of its trial."""


@dataclass(frozen=True, slots=True)
class Losses:
    """Of the ensemble, and of the best single model, on the same data."""

    ensemble: float
    single: float


@dataclass(frozen=True, slots=True)
class EnsembleOutcome:
    """Whether the average of a study's models takes the place of the best one, and why."""

    accepted: bool
    reason: str
    """One sentence."""
    members: tuple[Member, ...] = ()
    """The largest weight first; empty if none was found."""
    selection: Losses | None = None
    """On the half of the validation data by which members and weights were selected."""
    held_out: Losses | None = None
    """On the other half, which decided."""
    test: Losses | None = None
    """On test data, by which nothing was chosen; None where the objective has none."""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """An outcome from its record."""
        measured = {
            name: record[name] and Losses(**record[name])
            for name in ("selection", "held_out", "test")
        }
        members = tuple(Member(**member) for member in record["members"])
        return cls(record["accepted"], record["reason"], members, **measured)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each member, by the number of its trial."""
        return {str(member.number): round(member.weight, 4) for member in self.members}

    def figures(self) -> dict[str, float]:
        """What MLflow records as metrics."""
        measured = {
            "selection": self.selection,
            "held_out": self.held_out,
            "test": self.test,
        }
        figures = {
            "ensemble_accepted": float(self.accepted),
            "ensemble_members": len(self.members),
        }
        for name, losses in measured.items():
            if losses is not None:
                figures[f"ensemble_{name}_loss"] = losses.ensemble
                figures[f"single_{name}_loss"] = losses.single
        return figures


def members_text(members: Sequence[Member]) -> str:
    """Members as JSON, as a registered version has them."""
    return json.dumps([asdict(member) for member in members])


def members_of(text: str) -> tuple[Member, ...]:
    """Members from their JSON.

    Raises:
        ValueError: It is something else; also `TypeError` and `KeyError`.
    """
    return tuple(Member(**member) for member in json.loads(text))
