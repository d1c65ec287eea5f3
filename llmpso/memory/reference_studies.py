"""The studies that ship: what the networks of the library needed on various data.

They are the memory of those who have no study of their own yet, and weigh as little as any other
where they mislead. `python -m llmpso.benchmark.reference_studies` makes the file again.
"""

from functools import cache
from pathlib import Path
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from llmpso.memory.past_study import PastStudy

SHIPPED = Path(__file__).parent / "reference_studies.json"

MOST_REGRET = 0.5
"""Mean regret of the first starts above which the studies of a network are not used."""


class StartEvidence(BaseModel):
    """What starts from the studies of other families of data were worth on one data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    """Name of the data set."""
    best: float
    """Lowest value of its own study."""
    blind: float
    """Median value of that study's first configurations, which knew nothing."""
    starts: tuple[float, ...]
    """Values of the first starts, in their order; each was trained once."""
    default: float | None = None
    """Value of the language model's default; None if it was not asked or had no answer."""

    def regret(self, value: float) -> float:
        """A value between the best (0) and the blind median (1); negative if it is better."""
        return (value - self.best) / (self.blind - self.best)


class ReferenceStudies(BaseModel):
    """The file: studies and evidence by network, `lstm` or `cnn`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    studies: dict[str, tuple[PastStudy, ...]] = {}
    evidence: dict[str, tuple[StartEvidence, ...]] = {}
    model: str = ""
    """Language model of the default; empty if none was asked."""


@cache
def shipped() -> ReferenceStudies:
    """The content of the file that comes with the library."""
    return ReferenceStudies.model_validate_json(SHIPPED.read_bytes())


def reference_studies(network: str) -> tuple[PastStudy, ...]:
    """Those of a network of the library that a study may begin from.

    Args:
        network: `lstm`, `cnn`, or the import path of an objective of a user's own.

    Returns:
        None for an objective of a user's own, and none if the first starts that they gave on other
        families of data were worth too little.
    """
    evidence = shipped().evidence.get(network, ())
    regrets = [each.regret(each.starts[0]) for each in evidence]
    is_worth_it = bool(regrets) and fmean(regrets) <= MOST_REGRET
    return shipped().studies[network] if is_worth_it else ()
