"""What a value depends on, as hashes: a kept evaluation answers only for exactly what it measured.

An objective tells its own `fingerprint` where it has one: a hash of its code version, its data and
its settings. For any other the source of its class stands in, with that of the modules of the same
project which it uses. What such code reads at run time, data files above all, is not seen.
"""

import hashlib
import inspect
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from llmpso.trial import Trial


def digest(content: Any) -> str:
    """SHA-256 of plain values, the order of names left out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def objective_fingerprint(objective: object) -> str:
    """Hash of all that an evaluation depends on besides parameters, fidelity and seed."""
    own = getattr(objective, "fingerprint", None)
    kind = type(objective)
    if own is not None:
        return digest({"class": kind.__qualname__, "fingerprint": str(own)})
    files = sorted((file.name, _file_hash(file)) for file in _source_files(kind))
    return digest({"class": f"{kind.__module__}.{kind.__qualname__}", "files": files})


def evaluation_address(fingerprint: str, trial: Trial, fidelity: float) -> str:
    """Where the evaluation of a trial is kept: the same for the same measurement, only."""
    return digest(_training(fingerprint, trial) | {"fidelity": fidelity})


def training_address(fingerprint: str, trial: Trial) -> str:
    """Where the training of a trial is kept, however far it got."""
    return digest(_training(fingerprint, trial))


def _training(fingerprint: str, trial: Trial) -> dict[str, Any]:
    return {"objective": fingerprint, "params": dict(trial.params), "seed": trial.seed}


def _source_files(kind: type) -> Iterable[Path]:
    """Files of a class, its bases, and what their modules use of the same project."""
    found: dict[Path, None] = {}
    for base in kind.__mro__:
        module = sys.modules.get(base.__module__)
        file = _file(module)
        if module is not None and file is not None and not _is_installed(file):
            _gather(module, _project(module, file), found)
    return found


def _gather(module: ModuleType, project: Path, found: dict[Path, None]) -> None:
    """Add a module and, one after the other, all of the project that its names lead to."""
    file = _file(module)
    if file is None or file in found or project not in file.parents or _is_installed(file):
        return
    found[file] = None
    for used in _used(module):
        _gather(used, project, found)


def _used(module: ModuleType) -> Iterator[ModuleType]:
    """Modules that the values of a module are, or come from."""
    for value in list(vars(module).values()):
        used = value if inspect.ismodule(value) else inspect.getmodule(type(value))
        if inspect.isclass(value) or inspect.isroutine(value):
            used = sys.modules.get(value.__module__ or "")
        if used is not None:
            yield used


def _project(module: ModuleType, file: Path) -> Path:
    """The folder that a module's root package lies in."""
    return file.parents[module.__name__.count(".") + (file.name == "__init__.py")]


def _is_installed(file: Path) -> bool:
    return "site-packages" in file.parts or Path(sys.base_prefix) in file.parents


def _file(module: ModuleType | None) -> Path | None:
    name = getattr(module, "__file__", None)
    return Path(name).resolve() if name else None


def _file_hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
