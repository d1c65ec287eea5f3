"""Folders that cannot be written are refused in one line, before anything is trained."""

from pathlib import Path

import pytest
from prefect.settings import PREFECT_HOME, temporary_settings

from llmpso.errors import SpecError
from tasks.records.check_folders import check_folders
from tasks.store.state_folders import STATE_HOME, state_folder

NOWHERE = Path("/proc/nowhere")
"""Not even root can make it."""

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc")


def test_folders_that_can_be_written_are_made(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(STATE_HOME, str(tmp_path / "state"))
    with temporary_settings({PREFECT_HOME: tmp_path / "prefect"}):
        check_folders()
    assert (tmp_path / "state" / "llmpso" / "studies").is_dir()
    assert (tmp_path / "prefect").is_dir()


def test_a_user_without_a_home_sees_what_to_set(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv(STATE_HOME)
    monkeypatch.setenv("HOME", str(NOWHERE))
    with pytest.raises(SpecError, match=rf"evaluations .* {NOWHERE}.*; .* in {STATE_HOME}"):
        check_folders()
    monkeypatch.setenv(STATE_HOME, str(tmp_path))
    settings = temporary_settings({PREFECT_HOME: NOWHERE})
    message = rf"results of Prefect .* {NOWHERE} .*; .* in PREFECT_HOME"
    with settings, pytest.raises(SpecError, match=message):
        check_folders()


@pytest.mark.parametrize("named", ["state", "~/state", "./state"])
def test_a_relative_folder_is_refused(named: str, monkeypatch) -> None:
    monkeypatch.setenv(STATE_HOME, named)
    with pytest.raises(SpecError, match=f"{STATE_HOME} is '{named}'; it must be an absolute"):
        state_folder()
