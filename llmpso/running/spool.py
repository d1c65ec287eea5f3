"""Outcomes on their way to the records: kept as files from the moment they are measured.

An entry is a folder that appears whole, by renaming, and is removed once it is recorded. So a
process may be killed at any instant, and a tracking server be away for as long as it likes.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmpso.dimensions import with_tuples
from llmpso.running.evaluate import Outcome
from llmpso.trial import Failure, FailureKind, Source, Trial, TrialState

_RECORD, _HALF_WRITTEN = "outcome.json", ".half"


@dataclass(frozen=True, slots=True)
class Entry:
    """One outcome that waits to be recorded."""

    address: str
    """What was measured; see `llmpso.running.fingerprint`."""
    trial: Trial
    curves: Mapping[str, tuple[float, ...]]
    folder: Path
    """Holds what `fill` left there: the model."""


class Spool:
    """A folder of outcomes.

    Args:
        folder: Made if it is not there; each outcome gets a folder of its own in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for rest in folder.glob(f"*{_HALF_WRITTEN}"):
            shutil.rmtree(rest)

    def put(self, address: str, outcome: Outcome, fill: Callable[[Path], Trial]) -> Entry:
        """Keep an outcome; `fill` adds files to its folder, and returns the trial with warnings.

        Raises:
            OSError: There is no room.
        """
        half = self._folder / f"{address}{_HALF_WRITTEN}"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir()
        trial = fill(half)
        curves = outcome.evaluation.curves if outcome.evaluation else {}
        plain = {name: [float(value) for value in curve] for name, curve in curves.items()}
        record = {"address": address, "trial": trial_record(trial), "curves": plain}
        (half / _RECORD).write_text(json.dumps(record), encoding="utf-8")
        return _entry(half.rename(self._folder / address))

    def entries(self) -> list[Entry]:
        """All that wait, in the order of their trials."""
        folders = [path for path in self._folder.iterdir() if (path / _RECORD).is_file()]
        whole = [path for path in folders if path.suffix != _HALF_WRITTEN]
        return sorted(map(_entry, whole), key=lambda entry: entry.trial.number)

    def remove(self, entry: Entry) -> None:
        """Forget an outcome that is recorded."""
        half = entry.folder.rename(entry.folder.with_suffix(_HALF_WRITTEN))
        shutil.rmtree(half)


def trial_record(trial: Trial) -> dict[str, Any]:
    """A trial as plain values, for JSON."""
    metrics = {name: float(value) for name, value in trial.metrics.items()}
    return asdict(trial) | {"params": dict(trial.params), "metrics": metrics}


def trial_of(record: Mapping[str, Any]) -> Trial:
    """The trial that `trial_record` made a record of."""
    failure = record["failure"]
    fields = {
        "params": {name: with_tuples(value) for name, value in record["params"].items()},
        "source": Source(record["source"]),
        "state": TrialState(record["state"]),
        "failure": failure and Failure(**(failure | {"kind": FailureKind(failure["kind"])})),
        "warnings": tuple(record.get("warnings", ())),
        "rungs": tuple((fidelity, value) for fidelity, value in record.get("rungs", ())),
    }
    return Trial(**(dict(record) | fields))


def _entry(folder: Path) -> Entry:
    record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    curves = {name: tuple(curve) for name, curve in record["curves"].items()}
    return Entry(record["address"], trial_of(record["trial"]), curves, folder)
