"""What a value depends on, as hashes: a saved evaluation is reused only for the same measurement.

The code of an objective is followed along its imports (`llmpso.running.project_sources`). What it
reads at run time, data files above all, is not seen: an objective describes that by its
`fingerprint` (`llmpso.objectives.base.SupportsFingerprint`).
"""

import ast
import hashlib
import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any
from uuid import uuid4

from llmpso.errors import SpecError
from llmpso.running.project_sources import project_sources
from llmpso.text import one_line
from llmpso.trial import Trial

_FIRST_READ: dict[str, tuple[object, str]] = {}
"""By module: which import of it was the last one seen, and what its file said then."""


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
    if edited := _edited(sources.modules, (function, type(function), *kind.__mro__)):
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


def _edited(names: Iterable[str], own: Sequence[object]) -> list[str]:
    """The modules whose files say something else than what was imported, comments aside.

    A constant that was edited before the first look at its file is not noticed.

    Args:
        names: Those of the project, imported or not.
        own: Functions and classes of the objective: a module that was imported again does not
            change what was taken from it before.
    """
    loaded = [module for name in names if (module := sys.modules.get(name))]
    # The code of another loader, such as pytest's, is not as in the file.
    plain = [m for m in loaded if type(getattr(m, "__loader__", None)) is SourceFileLoader]
    return [module.__name__ for module in plain if _is_edited(module, own)]


def _is_edited(module: ModuleType, own: Sequence[object]) -> bool:
    file = str(module.__file__)
    try:
        tree = ast.parse(Path(file).read_bytes())
        codes = set(_codes(compile(tree, file, "exec", dont_inherit=True)))
    except OSError:
        return False
    except (SyntaxError, ValueError):
        return True
    now = (module.__spec__, ast.dump(tree))
    first = _FIRST_READ.setdefault(module.__name__, now)
    if first[0] is not module.__spec__:
        _FIRST_READ[module.__name__] = first = now
    functions = _functions([*vars(module).values(), *own], module.__name__)
    from_file = [f.__code__ for f in functions if f.__code__.co_filename == file]
    return first[1] != now[1] or any(_without_lines(code) not in codes for code in from_file)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of everything that is defined in some code."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield _without_lines(constant)
            yield from _codes(constant)


def _without_lines(code: CodeType) -> CodeType:
    """Code that equals any other that does the same, wherever it is written."""
    constants = (_without_lines(c) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.replace(
        co_filename="", co_firstlineno=1, co_linetable=b"", co_consts=tuple(constants)
    )


def _functions(things: Iterable[object], module: str) -> Iterator[FunctionType]:
    """The functions and methods among some things that a module defines."""
    for thing in things:
        if isinstance(thing, type) and thing.__module__ == module:
            # No attribute of these is looked up: some libraries make it then.
            members = (
                member.__func__ if isinstance(member, staticmethod | classmethod) else member
                for member in tuple(vars(thing).values())
            )
            yield from _functions((m for m in members if isinstance(m, FunctionType)), module)
        elif isinstance(thing, FunctionType):
            plain = inspect.unwrap(thing)
            if isinstance(plain, FunctionType) and plain.__module__ == module:
                yield plain
