"""Outcomes on disk: whole, or set aside; nothing of them is deleted, and no other one suffers."""

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from llmpso.running.durable_files import sealed
from llmpso.running.outcome import Outcome
from llmpso.running.pending_records import PendingRecords
from llmpso.trial import Evaluation, Limit, Source, Trial

FILES = ("outcome.json", "model/data/weights", "records/matrix.json")


def outcome(number: int) -> Outcome:
    evaluation = Evaluation(number + 0.1, {"epochs": 2.0}, {"loss": (3.0, 2.0)})
    trial = Trial(number, {"x": 0.1}, Source.SWARM, iteration=0, particle=number, seed=number)
    return Outcome(trial.measured(evaluation, 1.5), evaluation)


def put_into(pending: PendingRecords, key: str, outcome: Outcome) -> None:
    def fill(folder: Path) -> Trial:
        for name in FILES[1:]:
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_bytes(b"some content" * 50)
        return outcome.trial

    pending.put(key, outcome, fill)


@pytest.fixture(scope="module")
def put(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three entries, written once: bringing them to the disk takes a while."""
    folder = tmp_path_factory.mktemp("put") / "outcomes"
    pending = PendingRecords(folder)
    for number, key in enumerate(("aa", "bb", "cc")):
        put_into(pending, key, outcome(number))
    return folder


@pytest.fixture
def folder(put: Path, tmp_path: Path) -> Path:
    """The folder `outcomes` of a study, with three entries."""
    return Path(shutil.copytree(put, tmp_path / "outcomes"))


def test_another_process_finds_what_was_put(folder):
    entries = PendingRecords(folder).entries()
    assert [entry.trial for entry in entries] == [outcome(number).trial for number in range(3)]
    assert entries[0].curves == {"loss": (3.0, 2.0)}
    assert (entries[0].folder / FILES[1]).read_bytes() == b"some content" * 50


def test_the_same_training_of_two_trials_is_put_and_removed_at_once(tmp_path):
    pending = PendingRecords(tmp_path / "outcomes")

    def put_and_remove(number: int) -> None:
        for _ in range(30):
            entry = pending.put("aa", outcome(number), lambda folder: outcome(number).trial)
            assert entry.folder.is_dir()
            pending.remove(entry)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put_and_remove, range(4)))
    assert not list((tmp_path / "outcomes").iterdir())


def test_what_a_training_reported_is_there_again_with_its_limits(tmp_path):
    limits = (Limit(2, math.inf, 0.125), Limit(4, 0.5, 0.25))
    reports = ((0, math.inf), (1, math.nan), (2, 3.0), (4, 1.5))
    asked = replace(outcome(0).trial, limits=limits, milestones=reports[2:], n_steps=16)
    stopped = Outcome(asked.stopped(limits[1], 1.0), Evaluation(1.5, reports=reports))
    PendingRecords(tmp_path / "outcomes").put("aa", stopped, lambda folder: stopped.trial)
    (entry,) = PendingRecords(tmp_path / "outcomes").entries()
    assert entry.trial == stopped.trial
    assert entry.trial.rungs == ((0.125, 3.0), (0.25, 1.5))
    assert repr(entry.reports) == repr(reports)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_entry_is_set_aside(folder, damage, name, caplog):
    damage(folder / "bb" / name)
    pending = PendingRecords(folder)
    assert [entry.key for entry in pending.entries()] == ["aa", "cc"]
    assert (folder.parent / "damaged" / "bb").is_dir()
    (warning,) = caplog.messages
    assert str(folder / "bb") in warning
    assert [entry.key for entry in pending.entries()] == ["aa", "cc"]
    put_into(pending, "bb", outcome(1))
    assert [entry.key for entry in PendingRecords(folder).entries()] == ["aa", "bb", "cc"]
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("a note"),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("/dev/zero"),
        os.mkfifo,
    ],
    ids=["file", "folder", "link to itself", "link to a device", "pipe"],
)
@pytest.mark.parametrize("name", ["notes", ".DS_Store", "x.half", "bb.1", "ü\udcff"], ids=ascii)
def test_a_stray_path_is_set_aside(folder, make, name):
    make(folder / name)
    assert len(PendingRecords(folder).entries()) == 3
    assert sorted(path.name for path in folder.iterdir()) == ["aa", "bb", "cc"]


def test_an_entry_may_hold_a_stray_file_no_more_than_a_missing_one(folder):
    (folder / "bb" / "model" / "extra").touch()
    assert len(PendingRecords(folder).entries()) == 2


def test_what_a_kill_left_half_written_is_forgotten(folder, caplog):
    (folder / "bb").rename(folder / "bb.half")
    assert len(PendingRecords(folder).entries()) == 2
    assert not (folder / "bb.half").exists()
    assert caplog.messages == []


@pytest.mark.parametrize("content", [{}, [], None, {"key": "bb", "trial": {"number": 1}}])
def test_an_entry_of_another_version_is_set_aside(folder, content):
    (folder / "bb" / "outcome.json").write_text(sealed(content))
    assert len(PendingRecords(folder).entries()) == 2


def test_an_entry_under_another_name_is_set_aside(folder):
    (folder / "bb").rename(folder / "dd")
    assert [entry.key for entry in PendingRecords(folder).entries()] == ["aa", "cc"]


def test_one_evaluation_may_wait_twice(folder):
    """A worker that was lost, and the second try."""
    second = outcome(1)
    put_into(
        PendingRecords(folder), "bb", replace(second, trial=replace(second.trial, note="again"))
    )
    assert [entry.trial.note for entry in PendingRecords(folder).entries()] == [
        "",
        "",
        "again",
        "",
    ]


def test_several_of_one_name_are_set_aside(folder):
    pending = PendingRecords(folder)
    for _ in range(3):
        (folder / "bb" / "outcome.json").write_text("")
        assert len(pending.entries()) == 2
        put_into(pending, "bb", outcome(1))
    assert sorted(os.listdir(folder.parent / "damaged")) == ["bb", "bb.1", "bb.2"]


@pytest.mark.parametrize("place", ["outcomes", "damaged"])
def test_a_file_in_the_place_of_a_folder(tmp_path, place):
    (tmp_path / place).write_text("a note")
    pending = PendingRecords(tmp_path / "outcomes")
    put_into(pending, "aa", outcome(0))
    (tmp_path / "outcomes" / "aa" / "outcome.json").write_text("")
    assert pending.entries() == []
    assert "a note" in [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]


def test_damage_while_the_study_runs_is_seen(folder, damage):
    pending = PendingRecords(folder)
    first, second, third = pending.entries()
    damage(second.folder / FILES[1])
    assert [pending.is_whole(entry) for entry in (first, second, third)] == [True, False, True]


def test_a_folder_that_is_gone_is_no_entry_any_more(folder):
    pending = PendingRecords(folder)
    entry = pending.entries()[0]
    entry.folder.rename(folder.parent / "elsewhere")
    assert not pending.is_whole(entry)
    pending.remove(entry)


@pytest.fixture
def private(put: Path) -> Iterator[Path]:
    """The entries of a user who may not read everything, as root may."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(put, Path(scratch, "outcomes")))
        if os.geteuid() != 0:
            yield folder
            return
        for path in (*folder.rglob("*"), folder, Path(scratch)):
            shutil.chown(path, 65534, 65534)
        os.seteuid(65534)
        yield folder
        os.seteuid(0)


@pytest.mark.parametrize("name", ["", "outcome.json", "model", "model/data/weights"])
@pytest.mark.parametrize("mode", [0o000, 0o200])
def test_an_entry_that_may_not_be_read_is_set_aside(private, name, mode):
    (private / "bb" / name).chmod(mode)
    assert [entry.key for entry in PendingRecords(private).entries()] == ["aa", "cc"]
    assert os.listdir(private.parent / "damaged") == ["bb"]
