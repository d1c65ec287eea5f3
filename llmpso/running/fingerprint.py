"""What a value depends on, as hashes: a saved evaluation is reused only for the same measurement.

The code of an objective is followed along its imports (`llmpso.user_code.project_sources`). What
it reads at run time, data files above all, is not seen: an objective describes that by its
`fingerprint` (`llmpso.objectives.base.SupportsFingerprint`).
"""

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

from llmpso.errors import SpecError
from llmpso.text import one_line
from llmpso.trial import Trial
from llmpso.user_code.edited_code import edited_modules
from llmpso.user_code.project_sources import project_sources


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """All that an evaluation depends on besides parameters, fidelity and seed."""

    text: str
    """Equal for equal code, data and settings; never equal to another where code is not known."""
    covers_data: bool
    """Whether the objective states its data; if not, equal fingerprints may mean other data."""
    files: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Files of code that count, each with its hash."""
    unseen: tuple[str, ...] = ()
    """Places in them that load code which cannot be followed."""
    missing: tuple[str, ...] = ()
    """Code that is in no file; nothing is reused then."""


def digest(content: Any) -> str:
    """SHA-256 of plain values, the order of names left out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def objective_fingerprint(objective: object, path: str = "") -> Fingerprint:
    """Fingerprint of an objective's code and, as far as it states them, of its data and settings.

    Args:
        objective: An objective, or a plain function as one.
        path: Where it was imported from, as `package.module:attribute`.

    Raises:
        SpecError: Its own `fingerprint` cannot be used, or its code is older than its files.
    """
    own, kind, function = _own(objective), type(objective), _function(objective)
    defined = [kind.__module__, *_modules(function)]
    named = [path.partition(":")[0]] if ":" in path else defined
    bases = [base.__module__ for base in kind.__mro__]
    sources = project_sources(named, [*defined, *bases])
    if edited := edited_modules(sources.modules, (function, type(function), *kind.__mro__)):
        raise SpecError(
            f"{', '.join(edited)} changed since it was imported: import it again, with all that "
            "is taken from it, or restart the process (in a notebook: the kernel)"
        )
    content = {
        "path": path,
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "function": getattr(function, "__qualname__", ""),
        "files": sources.hashes,
        "own": own,
        # Code that is not known is like no other.
        "missing": uuid4().hex if sources.missing else "",
    }
    return Fingerprint(
        digest(content), own is not None, sources.hashes, sources.unseen, sources.missing
    )


def evaluation_key(fingerprint: str, trial: Trial, fidelity: float) -> str:
    """Key of the evaluation of a trial: equal for the same measurement only."""
    return digest(_training(fingerprint, trial) | {"fidelity": fidelity})


def training_key(fingerprint: str, trial: Trial) -> str:
    """Key of the training of a trial, at whatever fidelity."""
    return digest(_training(fingerprint, trial))


def _training(fingerprint: str, trial: Trial) -> dict[str, Any]:
    return {"objective": fingerprint, "params": dict(trial.params), "seed": trial.seed}


def _own(objective: object) -> str | None:
    """The objective's own fingerprint; None if it has none."""
    name = getattr(objective, "name", type(objective).__name__)
    try:
        own = objective.fingerprint  # type: ignore[attr-defined]
    except Exception as error:  # noqa: BLE001 - a property of the user's own may raise anything
        if inspect.getattr_static(objective, "fingerprint", None) is None:
            return None
        raise SpecError(
            f"fingerprint of objective {name!r} cannot be read "
            f"({type(error).__name__}: {one_line(error, 200)})"
        ) from error
    if own is None or (isinstance(own, str) and own):
        return own
    raise SpecError(
        f"fingerprint of objective {name!r} is {one_line(repr(own), 80)}; it must be a text, for "
        "example a hash of the data, as an attribute or a property; None if that is not known"
    )


def _function(objective: object) -> Any:
    """The function that an objective calls, without what it is wrapped in."""
    function = getattr(objective, "function", None)
    while isinstance(function, partial):
        function = function.func
    return inspect.unwrap(function) if callable(function) else None


def _modules(function: Any) -> list[str]:
    """Where a function, or the class of a callable object, is defined."""
    if function is None:
        return []
    named = getattr(function, "__module__", None)
    return [named or type(function).__module__]
