"""Folders that a study writes to, tried before anything is trained."""

import os
import tempfile
from pathlib import Path

from prefect.settings import PREFECT_HOME

from llmpso.running.durable_files import made_folder
from tasks.store.state_folders import STATE_HOME, probe, state_folder, writable


def check_folders() -> None:
    """Refuse folders that cannot be written, before anything is trained.

    A user of a container may have no home; Prefect caches replies of language models in its own.

    Raises:
        SpecError: One cannot.
    """
    folder = state_folder()
    with writable("evaluations", folder, STATE_HOME):
        probe(folder)
        probe(made_folder(folder / "studies"))
    home = PREFECT_HOME.value()
    with writable("results of Prefect", home, PREFECT_HOME.name):
        probe(home)
    with writable("temporary files", Path(os.environ.get("TMPDIR", "/tmp")), "TMPDIR"):
        probe(Path(tempfile.gettempdir()))
