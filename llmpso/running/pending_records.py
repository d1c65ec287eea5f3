"""Outcomes that are not recorded yet: stored as files from the moment they are measured.

An entry is a folder that appears whole, by renaming, and is removed once it is recorded. So a
process may be killed at any instant, and the tracking server may be unreachable for long. Each
entry has the checksums of its files: one that was damaged is set aside.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from llmpso.fidelity.curve import Point
from llmpso.running.durable_files import (
    DAMAGED_FOLDER,
    HALF_WRITTEN,
    DamagedError,
    checksums,
    free_place,
    made_folder,
    read,
    remove,
    sealed,
    set_aside,
    sync,
    sync_tree,
    unsealed,
)
from llmpso.running.outcome import Outcome
from llmpso.space.dimensions import with_tuples
from llmpso.trial import Failure, FailureKind, Limit, Source, Trial, TrialState

_RECORD = "outcome.json"


@dataclass(frozen=True, slots=True)
class PendingRecord:
    """One outcome that waits to be recorded."""

    key: str
    """What was measured; see `llmpso.running.fingerprint`."""
    trial: Trial
    curves: Mapping[str, tuple[float, ...]]
    reports: tuple[Point, ...]
    folder: Path
    """Holds what `fill` left there: the model."""


class PendingRecords:
    """A folder of outcomes.

    Args:
        folder: Created if necessary; each outcome gets its own folder in it.

    Raises:
        OSError: It cannot be made or read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = made_folder(folder)
        self._naming = Lock()
        for rest in folder.glob(f"*{HALF_WRITTEN}"):
            if rest.is_dir():
                remove(rest)

    def put(self, key: str, outcome: Outcome, fill: Callable[[Path], Trial]) -> PendingRecord:
        """Store an outcome; `fill` adds files to its folder, and returns the trial with warnings.

        Raises:
            OSError: There is no room.
        """
        # Two trials may be the same training: a champion, and a challenger that equals it.
        half = self._folder / f"{key}.{outcome.trial.number}{HALF_WRITTEN}"
        remove(half)
        half.mkdir()
        trial = fill(half)
        record: dict[str, Any] = {"key": key, "trial": trial_record(trial)}
        record |= {"curves": curves_record(outcome), "files": checksums(half)}
        record |= {"reports": reports_record(outcome)}
        (half / _RECORD).write_text(sealed(record), encoding="utf-8")
        # A kill loses it until it has its name, a power cut until it is on the disk. The name
        # comes first, since the disk takes longer and checksums show a power cut in between.
        with self._naming:
            whole = half.rename(free_place(self._folder / key))
        sync_tree(whole)
        sync(self._folder)
        return _entry(whole, record)

    def entries(self) -> list[PendingRecord]:
        """All that are not recorded, in the order of their trials; what is damaged is set aside.

        Raises:
            OSError: Something cannot be read or moved.
        """
        found = [entry for path in sorted(self._folder.iterdir()) if (entry := self._whole(path))]
        return sorted(found, key=lambda entry: entry.trial.number)

    def is_whole(self, entry: PendingRecord) -> bool:
        """Whether an entry can still be read; it is set aside if not."""
        return self._whole(entry.folder) is not None

    def remove(self, entry: PendingRecord) -> None:
        """Remove an outcome that is recorded."""
        name = f"{entry.folder.name}.{entry.trial.number}.recorded{HALF_WRITTEN}"
        half = entry.folder.with_name(name)
        # It may have been removed by hand meanwhile.
        with suppress(FileNotFoundError):
            remove(entry.folder.rename(half))

    def _whole(self, folder: Path) -> PendingRecord | None:
        try:
            return _read_entry(folder)
        except DamagedError as error:
            set_aside(folder, self._folder.parent / DAMAGED_FOLDER, error)
            return None


def waiting_trials(folder: Path) -> list[Trial]:
    """The trials of a folder of outcomes, which another process may write and remove now.

    Nothing is changed: what is half written, removed or damaged is left out.
    """
    found = []
    for record in sorted(folder.glob(f"*/{_RECORD}")):
        with suppress(DamagedError, AttributeError, LookupError, TypeError, ValueError):
            if not record.parent.name.endswith(HALF_WRITTEN):
                found.append(trial_of(unsealed(read(record))["trial"]))
    return found


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
        "goals": tuple(record.get("goals", ())),
        "order": tuple(record.get("order", ())),
        "rungs": tuple((fidelity, value) for fidelity, value in record.get("rungs", ())),
        "limits": tuple(Limit(**limit) for limit in record.get("limits", ())),
        "milestones": reports_of(record.get("milestones", ())),
        "rung_constraints": tuple(map(_constraints_of, record.get("rung_constraints", ()))),
        "constraints": _constraints_of(record.get("constraints", {})),
    }
    return Trial(**(dict(record) | fields))


def _constraints_of(record: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
    return {name: (value, limit) for name, (value, limit) in record.items()}


def curves_record(outcome: Outcome) -> dict[str, list[float]]:
    """The curves of an outcome as plain values, for JSON."""
    curves = outcome.evaluation.curves if outcome.evaluation else {}
    return {name: [float(value) for value in curve] for name, curve in curves.items()}


def curves_of(record: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """The curves that `curves_record` made a record of."""
    return {name: tuple(curve) for name, curve in record.items()}


def reports_record(outcome: Outcome) -> list[Point]:
    """What a training reported, for JSON."""
    return list(outcome.evaluation.reports) if outcome.evaluation else []


def reports_of(record: Iterable[Sequence[Any]]) -> tuple[Point, ...]:
    """The reports that `reports_record` made a record of."""
    return tuple((step, value) for step, value in record)


def _read_entry(folder: Path) -> PendingRecord:
    record = unsealed(read(folder / _RECORD))
    try:
        entry, files = _entry(folder, record), record["files"]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise DamagedError("another version wrote it") from error
    if folder.name.partition(".")[0] != entry.key:
        raise DamagedError("it has the name of another one")
    if {name: found for name, found in checksums(folder).items() if name != _RECORD} != files:
        raise DamagedError("its files are not those that were written")
    return entry


def _entry(folder: Path, record: Mapping[str, Any]) -> PendingRecord:
    trial, curves = trial_of(record["trial"]), curves_of(record["curves"])
    return PendingRecord(record["key"], trial, curves, reports_of(record["reports"]), folder)
