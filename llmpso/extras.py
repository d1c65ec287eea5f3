"""Optional libraries: an error names the missing library and the extra that installs it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from llmpso.errors import LLMPSOError, SpecError


@contextmanager
def needed_by(what: str, extra: str, kind: type[LLMPSOError] = SpecError) -> Iterator[None]:
    """Around imports: say in one line which extra of ours installs a library that is missing.

    Args:
        what: Who needs it, such as `the objective 'lstm'`.
        extra: Extra of this package that installs it.
        kind: Error to raise.

    Example:
        >>> with needed_by("the objective 'own'", "torch"):
        ...     import no_library
        Traceback (most recent call last):
        llmpso.errors.SpecError: the objective 'own' needs no_library: pip install 'llmpso[torch]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise kind(missing(what, error, extra)) from error


def missing(what: str, error: ModuleNotFoundError, extra: str) -> str:
    """What to do about a library that is not installed, in one line."""
    library = (error.name or "a library").partition(".")[0]
    return f"{what} needs {library}: pip install 'llmpso[{extra}]'"


def loaded(name: str) -> Any:
    """A module if it is imported, wholly: another thread that imports it is waited for."""
    return import_module(name) if sys.modules.get(name) else None


def is_of(module: str, kind: str, model: object) -> bool:
    """Whether a model is of a class of a library; of one that is not imported it cannot be."""
    library = loaded(module)
    return library is not None and isinstance(model, getattr(library, kind))
