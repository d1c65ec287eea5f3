"""The source files that a module depends on, found by following import statements.

Nothing is imported to find them, so that what a function imports later counts as well, and values
do not: of `from helper import LIMIT`, `helper` counts.
"""

import ast
import hashlib
import importlib.util
import pkgutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path

OWN = Path(__file__).resolve().parents[1]
"""This library; its objectives state the version of their code themselves."""

IMPORTERS = ("import_module", "__import__")
"""Calls that import what they are given by name."""

RUNNERS = ("run_path", "run_module", "spec_from_file_location", "SourceFileLoader")
"""Calls that load code without naming a module."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

STANDARD = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
PACKAGES = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Sources:
    """What some modules are made of."""

    contents: Mapping[str, bytes]
    """Each file of the project, by its name below the project's folder."""
    unseen: tuple[str, ...]
    """Places in them that load code which cannot be followed."""
    missing: tuple[str, ...]
    """Modules whose code is in no file: typed into a console or a notebook, or deleted since."""
    modules: tuple[str, ...] = ()
    """Names of those in the files."""

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file, by its name."""
        return {name: hashlib.sha256(file).hexdigest() for name, file in self.contents.items()}


@dataclass(slots=True)
class _Found:
    """What following the imports has found so far."""

    first: frozenset[str]
    contents: dict[str, bytes] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def roots(self) -> set[str]:
        """Top-level packages that belong to the project wherever they are."""
        return {name.partition(".")[0] for name in self.first}


def project_sources(modules: Iterable[str], more: Iterable[str] = ()) -> Sources:
    """Follow the imports of a project to its last file.

    A project is what is not installed as a package; the top-level packages of `modules` belong to
    it in any case. Packages on the way count with their `__init__`.

    Args:
        modules: Names of the modules that an objective is defined in.
        more: Names of modules that count only if they are not installed.
    """
    found = _Found(frozenset(modules))
    waiting, seen = [*_with_parents([*found.first, *more])], set[str]()
    while waiting:
        name = waiting.pop()
        if name and name not in seen:
            seen.add(name)
            waiting += _with_parents(_visited(name, found))
    return Sources(
        dict(sorted(found.contents.items())),
        tuple(sorted(found.unseen)),
        tuple(found.missing),
        tuple(found.modules),
    )


def imports_late(contents: Mapping[str, bytes]) -> bool:
    """Whether functions of a project import parts of it as they run, or may do so.

    Args:
        contents: As those of `Sources`.
    """
    own = {name.partition("/")[0].removesuffix(".py") for name in contents}
    try:
        trees = [ast.parse(file) for name, file in contents.items() if name.endswith(".py")]
    except (SyntaxError, ValueError):
        return True
    return any(_imports_late(tree, own) for tree in trees)


def _imports_late(tree: ast.Module, own: set[str]) -> bool:
    importers = {*_importers(tree), *RUNNERS}
    functions = (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS))
    parts = (node for function in functions for node in ast.walk(function))
    return any(_imports(node, own, importers) for node in parts)


def _imports(node: ast.AST, own: set[str], importers: set[str]) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] in own for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or (node.module or "").partition(".")[0] in own
    return isinstance(node, ast.Call) and _called(node) in importers


def _visited(name: str, found: _Found) -> list[str]:
    """Hash a module of the project; the names that it imports."""
    spec = _spec(name)
    file = _file(name, spec)
    if file is None and spec is None and name in found.first:
        found.missing.append(name)
    if file is None or not _belongs(name, file, found.roots):
        return []
    label, content = _label(name, file), _content(file, spec)
    if content is None:
        found.missing.append(label)
        return []
    found.contents[label] = content
    found.modules.append(name)
    if file.suffix != ".py":
        return []
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        found.unseen.append(f"{label}, which is no Python of this version")
        return []
    found.unseen += [f"{label}:{line}" for line in _dynamic(tree)]
    return list(_imported(tree, name, _package(name, spec)))


def _with_parents(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[: n + 1]) for n in range(len(parts)))


def _spec(name: str) -> ModuleSpec | None:
    """Where a module is, or would be found; nothing is imported for it."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if isinstance(loaded, ModuleSpec):
        return loaded
    if parent := name.rpartition(".")[0]:
        above = _spec(parent)
        places = None if above is None else above.submodule_search_locations
        return None if places is None else _spec_below(places, name)
    finders = (finder.find_spec for finder in sys.meta_path if hasattr(finder, "find_spec"))
    return next((spec for find in finders if (spec := find(name, None))), None)


def _spec_below(places: Iterable[str], name: str) -> ModuleSpec | None:
    """A module in the folders of its package, which need not be imported for it."""
    portions: list[str] = []
    for finder in map(pkgutil.get_importer, places):
        spec = finder.find_spec(name) if finder is not None else None
        if spec is not None and spec.loader is not None:
            return spec
        portions += (spec and spec.submodule_search_locations) or ()
    if not portions:
        return None
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace


def _file(name: str, spec: ModuleSpec | None) -> Path | None:
    """A module's file; the one that runs has no specification, but a file."""
    if spec is not None:
        return Path(spec.origin) if spec.has_location and spec.origin else None
    origin = getattr(sys.modules.get(name), "__file__", None)
    return Path(origin) if origin else None


def _package(name: str, spec: ModuleSpec | None) -> str:
    """The package that a module's relative imports start from."""
    if spec is not None:
        return spec.parent or ""
    return getattr(sys.modules.get(name), "__package__", None) or ""


def _belongs(name: str, file: Path, roots: set[str]) -> bool:
    """Whether a file is one of the project."""
    place = file.resolve()
    if OWN in place.parents:
        return False
    is_installed = any(name in place.parts for name in PACKAGES)
    if not is_installed and any(folder in place.parents for folder in STANDARD):
        return False
    return not is_installed or name.partition(".")[0] in roots


def _label(name: str, file: Path) -> str:
    """A file's name below the folder that its root package is in."""
    if name == "__main__":
        return file.name
    depth = name.count(".") + (file.stem == "__init__")
    return "/".join(file.parts[-depth - 1 :])


def _content(file: Path, spec: ModuleSpec | None) -> bytes | None:
    """A file, on disk or in an archive; None if it is gone."""
    if file.is_file():
        return file.read_bytes()
    read = getattr(spec and spec.loader, "get_data", None)
    try:
        content: bytes | None = read(str(file)) if read else None
    except OSError:
        return None
    return content


def _imported(tree: ast.Module, name: str, package: str) -> Iterator[str]:
    """All names in import statements, also within functions, that may be modules."""
    importers = _importers(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), package)
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names if base))
        elif isinstance(node, ast.Call) and _called(node) in importers:
            below = _literal(node, 1, "package") or package
            yield _absolute(_literal(node, 0, "name") or "", below)
        elif isinstance(node, ast.Assign) and package == name:
            yield from (f"{name}.{text}" for text in _exported(node))


def _dynamic(tree: ast.Module) -> Iterator[int]:
    """Lines that load a module or a file whose name is only known at run time."""
    importers = _importers(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = _called(node)
            is_open = called in importers and _literal(node, 0, "name") is None
            is_typed = isinstance(node.func, ast.Name) and called == "exec"
            if is_open or is_typed or called in RUNNERS:
                yield node.lineno


def _importers(tree: ast.Module) -> set[str]:
    """What `importlib.import_module` is called in a module."""
    renamed = (
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "importlib"
        for alias in node.names
        if alias.name in IMPORTERS and alias.asname
    )
    return {*IMPORTERS, *renamed}


def _called(node: ast.Call) -> str:
    """The name of a function, without that of its module."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _literal(node: ast.Call, place: int, word: str) -> str | None:
    """An argument that a call has in so many words."""
    given = [*node.args[place : place + 1], *(k.value for k in node.keywords if k.arg == word)]
    text = given[0].value if given and isinstance(given[0], ast.Constant) else None
    return text if isinstance(text, str) else None


def _exported(node: ast.Assign) -> Iterator[str]:
    """What a package's `__all__` lists: modules too, which `import *` loads."""
    if any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
        for part in ast.walk(node.value):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value


def _absolute(name: str, package: str) -> str:
    """A name without leading dots; empty if it leads out of its package."""
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:
        return ""
