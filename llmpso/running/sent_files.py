"""The user's code and space file, for workers on machines that do not have them.

What a study's fingerprint covers is sent with it, not its data: a worker that has neither file nor
installed package of a name imports what was sent. Files of its own come first, and are compared.
"""

import atexit
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from llmpso.objectives.registry import ObjectiveSpec
from llmpso.user_code.project_sources import project_sources

SentFiles = tuple[tuple[str, bytes], ...]
"""Names below the project's folder, with the contents."""

SPACES = ".llmpso-space"
"""Folder of a space file, wherever it was."""

_FOLDERS: set[str] = set()
"""Where this process has written what was sent to it."""


def files_of(spec: ObjectiveSpec) -> SentFiles:
    """The files of an objective of the user's own; none of one that ships."""
    files: Mapping[str, bytes] = {}
    if ":" in spec.path:
        files = project_sources([spec.path.partition(":")[0]]).contents
    if (path := spec.data.space_file) is not None:
        files = {**files, f"{SPACES}/{Path(path).name}": Path(path).read_bytes()}
    return tuple(files.items())


def receive(
    files: SentFiles, spec: ObjectiveSpec, in_use: Sequence[SentFiles] = ()
) -> ObjectiveSpec:
    """Let modules that this machine lacks be found among the files; the specification with them.

    Those of an earlier study are found no longer.

    Args:
        files: What was sent.
        spec: Names the objective, and may name a space file that is not here.
        in_use: Of trainings that run now: they are found, unless they are other versions of these.
    """
    folder = _written(files) if files else ""
    others = {_written(other) for other in in_use if other and not _clash(other, files)}
    for earlier in (_FOLDERS - {folder} - others) & set(sys.path):
        sys.path.remove(earlier)
    if not folder:
        return spec
    if folder not in sys.path:
        sys.path.append(folder)
    path = spec.data.space_file
    if path is None or Path(path).exists():
        return spec
    sent = Path(folder, SPACES, Path(path).name)
    return replace(spec, data=spec.data.model_copy(update={"space_file": str(sent)}))


def _clash(one: SentFiles, other: SentFiles) -> bool:
    """Whether a module is in both, and differs."""
    known = dict(other)
    code = ((name, content) for name, content in one if not name.startswith(SPACES))
    return any(known.get(name, content) != content for name, content in code)


@cache
def _written(files: SentFiles) -> str:
    folder = tempfile.mkdtemp(prefix="llmpso-sent-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _FOLDERS.add(folder)
    for name, content in files:
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
