"""Trainings that stopped half-way: their checkpoints, and what they measured so far.

A training is one configuration with one seed; its address is the same at every fidelity.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llmpso.running.evaluate import Outcome
from llmpso.running.spool import trial_of, trial_record
from llmpso.trial import Evaluation, Trial


@dataclass(frozen=True, slots=True)
class Halfway:
    """A trial that is still to be told, as it was when its training last stopped."""

    trial: Trial
    curves: Mapping[str, tuple[float, ...]]

    def pruned(self) -> Outcome:
        """Its outcome, if it goes no further."""
        trial = self.trial.pruned()
        return Outcome(trial, Evaluation(trial.rungs[-1][1], trial.metrics, self.curves))


class HalfwayStore:
    """A folder of trainings that go on later, perhaps in another process.

    Args:
        folder: Made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def checkpoint(self, address: str) -> Path:
        """Where the state of a training lies, or is to lie."""
        return self._folder / f"{address}.pt"

    def keep(self, address: str, outcome: Outcome) -> None:
        """Keep what was measured on the way, whole or not at all.

        Raises:
            OSError: There is no room.
        """
        curves = outcome.evaluation.curves if outcome.evaluation else {}
        plain = {name: [float(value) for value in curve] for name, curve in curves.items()}
        half = self._record(address).with_suffix(".half")
        half.write_text(json.dumps({"trial": trial_record(outcome.trial), "curves": plain}))
        half.replace(self._record(address))

    def find(self, address: str) -> Halfway | None:
        """What was measured on the way; None if no rung was reached."""
        if not self._record(address).exists():
            return None
        record = json.loads(self._record(address).read_text(encoding="utf-8"))
        curves = {name: tuple(curve) for name, curve in record["curves"].items()}
        return Halfway(trial_of(record["trial"]), curves)

    def forget(self, address: str) -> None:
        """Remove a training that is told."""
        self._record(address).unlink(missing_ok=True)
        self.checkpoint(address).unlink(missing_ok=True)

    def _record(self, address: str) -> Path:
        return self._folder / f"{address}.json"
