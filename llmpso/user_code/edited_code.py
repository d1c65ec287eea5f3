"""Code that was edited after it was imported: what runs is older than its file.

The values would get the fingerprint of the file, and a later process would take them for its own.
"""

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

_FIRST_READ: dict[str, tuple[object, str]] = {}
"""By module: which import of it was the last one seen, and what its file said then."""


def edited_modules(names: Iterable[str], own: Sequence[object]) -> list[str]:
    """The modules whose files say something else than what was imported, comments aside.

    A constant that was edited before the first look at its file is not noticed.

    Args:
        names: Those of the project, imported or not.
        own: Functions and classes of the objective: a module that was imported again does not
            change what was taken from it before.
    """
    loaded = [module for name in names if (module := sys.modules.get(name))]
    return [module.__name__ for module in loaded if _is_edited(module, own)]


def _is_edited(module: ModuleType, own: Sequence[object]) -> bool:
    loader = module.__loader__
    # What others load, such as pytest's, need not be as in the file.
    if not isinstance(loader, SourceFileLoader):
        return False
    file = str(module.__file__)
    try:
        source = Path(file).read_bytes()
        tree = ast.parse(source)
        # Those that stand on Python's, such as beartype's, may change the code.
        codes = set(_codes(loader.source_to_code(source, file)))
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
