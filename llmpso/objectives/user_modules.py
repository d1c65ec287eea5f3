"""Modules of the user's own, found in the working directory."""

import importlib
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from llmpso.errors import SpecError
from llmpso.user_code.calls import UserCodeError, run_user_code

_OURS = ("flows", "llmpso", "tasks")


def import_attribute(path: str) -> object:
    """What an import path, `package.module:attribute`, names.

    The working directory is searched last: a `queue.py` there must not replace Python's own.

    Raises:
        SpecError: There is no such module or attribute, or the module cannot be imported.
    """
    name, _, attribute = path.partition(":")
    if name.endswith(".py"):
        meant = ".".join(Path(name).with_suffix("").parts).lstrip("/.")
        raise SpecError(f"objective {path!r} names a file; name the module: {meant}:{attribute}")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        module = run_user_code(lambda: importlib.import_module(name))
    except UserCodeError as error:
        raise SpecError(f"objective {path!r} cannot be imported: {error}") from error
    _check_place(module, Path(folder))
    if not hasattr(module, attribute):
        raise SpecError(f"objective {path!r}: {module.__file__} has no {attribute!r}")
    return getattr(module, attribute)


def forget_modules(names: Iterable[str]) -> None:
    """Let the next import read these modules from their files again."""
    for name in names:
        above, _, own = name.rpartition(".")
        # Else `from package import module` finds the one that was loaded before.
        with suppress(AttributeError):
            delattr(sys.modules.get(above), own)
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def _check_place(module: ModuleType, folder: Path) -> None:
    """Refuse a library's module, or one of ours, of the same name as one in the folder."""
    top = module.__name__.partition(".")[0]
    own = (folder / f"{top}.py", folder / top / "__init__.py")
    found = Path(getattr(sys.modules[top], "__file__", None) or "")
    is_library = top in sys.stdlib_module_names or "site-packages" in found.parts
    is_own = found.resolve() in map(Path.resolve, own)
    if (is_library or top in _OURS) and not is_own and any(path.is_file() for path in own):
        raise SpecError(
            f"module {top!r} is {found}, not the one in the working directory, because the name "
            "is taken; rename yours"
        )
