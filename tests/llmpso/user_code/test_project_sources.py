"""Which files a value depends on: a project is followed along its imports, to the last of them."""

import importlib
import py_compile
import shutil
import subprocess
import sys
import textwrap
import types
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from llmpso.user_code.project_sources import Sources, imports_late, project_sources

Write = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files of a project, by their path with `__` for a folder; forgets its modules."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)

    def write(**files: str) -> Path:
        for name, text in files.items():
            file = folder / f"{name.replace('__', '/')}.py".replace("/init.py", "/__init__.py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        return folder

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def files(*modules: str) -> set[str]:
    return set(project_sources(modules).hashes)


@pytest.mark.parametrize(
    "statement",
    [
        "import own_a",
        "import own_a as b",
        "from own_a import LIMIT",
        "from own_a import *",
        "def f():\n    import own_a",
        "async def f():\n    from own_a import LIMIT",
        "class C:\n    from own_a import LIMIT",
        "try:\n    import own_a\nexcept ImportError:\n    own_a = None",
        "if False:\n    import own_a",
        "import importlib\nimportlib.import_module('own_a')",
        "import importlib as i\na = i.import_module(name='own_a')",
        "from importlib import import_module as load\nload('own_a')",
        "__import__('own_a')",
        "f = lambda: __import__('own_a').LIMIT",
        "import own_gone, own_a",
    ],
)
def test_an_import_counts_wherever_and_however_it_is_written(
    project: Write, statement: str
) -> None:
    project(own=statement, own_a="LIMIT = 1\n", own_b="LIMIT = 2\n")
    assert files("own") == {"own.py", "own_a.py"}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("import pkg.deep.leaf as d", {"pkg/deep/__init__.py", "pkg/deep/leaf.py"}),
        ("from pkg.deep import leaf", {"pkg/deep/__init__.py", "pkg/deep/leaf.py"}),
        ("from pkg import deep", {"pkg/deep/__init__.py"}),
        ("from pkg import CONSTANT", set()),
        ("from pkg import *", {"pkg/listed.py"}),
        ("import bare.inner", {"bare/inner.py"}),
        ("from bare import inner", {"bare/inner.py"}),
        ("import bare.mid.far", {"bare/mid/far.py"}),
        ("from bare.mid import far", {"bare/mid/far.py"}),
        ("import pkg.open.inside", {"pkg/open/inside.py"}),
    ],
)
def test_packages_on_the_way_count(project: Write, statement: str, found: set[str]) -> None:
    project(
        own=statement,
        pkg__init="CONSTANT = 1\n__all__ = ['CONSTANT', 'listed']\n",
        pkg__listed="",
        pkg__deep__init="",
        pkg__deep__leaf="",
        pkg__deep__other="",
        bare__inner="",
        bare__mid__far="",
        pkg__open__inside="",
    )
    # What a package lists may be a module of it, which a user of the package then depends on.
    always = {"own.py"} if "bare" in statement else {"own.py", "pkg/__init__.py", "pkg/listed.py"}
    assert files("own") == always | found


def test_relative_imports_are_followed(project: Write) -> None:
    project(
        pkg__init="",
        pkg__own="from . import near\nfrom .deep.leaf import X\nfrom .... import too_far\n",
        pkg__near="from importlib import import_module\nimport_module('.late', __package__)\n",
        pkg__late="",
        pkg__deep__init="",
        pkg__deep__leaf="from .. import up\nfrom ..deep import side\nX = 1\n",
        pkg__deep__side="",
        pkg__up="",
        pkg__other="",
    )
    names = ("__init__", "own", "near", "late", "up", "deep/__init__", "deep/leaf", "deep/side")
    assert files("pkg.own") == {f"pkg/{name}.py" for name in names}


def test_circles_end_and_nothing_is_imported(project: Write) -> None:
    project(own="import own_a\n", own_a="import own_b\n", own_b="import own\nraise SystemExit\n")
    assert files("own") == {"own.py", "own_a.py", "own_b.py"}
    assert not {"own", "own_a", "own_b"} & set(sys.modules)


def test_a_change_of_any_of_them_changes_its_hash_alone(project: Write) -> None:
    project(own="from own_a import X\n", own_a="from own_b import X\n", own_b="X = 1\n")
    before = project_sources(["own"]).hashes
    project(own_b="X = 2\n")
    after = project_sources(["own"]).hashes
    assert {name for name in before if before[name] != after[name]} == {"own_b.py"}


def test_the_same_code_elsewhere_is_the_same(project: Write, tmp_path: Path, monkeypatch) -> None:
    folder = project(pkg__init="import own_a\n", own_a="X = 1\n")
    before = project_sources(["pkg"])
    (tmp_path / "link").symlink_to(folder)
    shutil.copytree(folder, tmp_path / "moved")
    for place in ("link", "moved"):
        monkeypatch.setattr(sys, "path", [str(tmp_path / place), *sys.path[1:]])
        importlib.invalidate_caches()
        assert project_sources(["pkg"]) == before


def test_installed_packages_and_this_library_do_not_count(project: Write, monkeypatch) -> None:
    folder = project(own="import json, numpy, torch, llmpso, installed\n")
    (folder / "site-packages").mkdir()
    (folder / "site-packages" / "installed.py").write_text("import other\n")
    monkeypatch.syspath_prepend(folder / "site-packages")
    assert files("own") == {"own.py"}
    assert files("installed") == {"installed.py"}
    assert files("math", "json", "llmpso.study") == set()


def test_a_project_below_the_folder_of_python_counts(project: Write, monkeypatch) -> None:
    """As in a container that works in /usr/src/app with a Python of /usr."""
    folder = project(own="import own_a\n", own_a="")
    monkeypatch.setattr(sys, "base_prefix", str(folder.parent))
    monkeypatch.setattr(sys, "prefix", str(folder.parent))
    assert files("own") == {"own.py", "own_a.py"}


def test_archives_and_compiled_modules_count_as_they_are(project: Write, tmp_path: Path) -> None:
    folder = project(own="import zipped, compiled\n", own_c="X = 1\n")
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.writestr("zipped.py", "from zipped_too import X\n")
        archive.writestr("zipped_too.py", "X = 1\n")
    sys.path.insert(0, str(tmp_path / "code.zip"))
    py_compile.compile(str(folder / "own_c.py"), cfile=str(folder / "compiled.pyc"))
    try:
        found = project_sources(["own"])
    finally:
        sys.path.remove(str(tmp_path / "code.zip"))
    assert set(found.hashes) == {"own.py", "zipped.py", "zipped_too.py", "compiled.pyc"}
    assert found.missing == ()


def test_what_cannot_be_followed_is_named(project: Write) -> None:
    project(
        own="""
        import importlib
        name = "own_a"
        importlib.import_module(name)
        exec(open("own_a.py").read())
        import broken
        model.eval()
        """,
        own_a="",
        broken="print 'as of 2009'\n",
    )
    found = project_sources(["own"])
    assert set(found.hashes) == {"own.py", "broken.py"}
    assert found.unseen == (
        "broken.py, which is no Python of this version",
        "own.py:4",
        "own.py:5",
    )


def test_code_that_is_in_no_file_is_missing(project: Write, monkeypatch) -> None:
    folder = project(own="import own_a\n", own_a="")
    importlib.import_module("own")
    (folder / "own_a.py").unlink()
    assert project_sources(["own"]).missing == ("own_a.py",)
    typed = types.ModuleType("typed_into_a_notebook")
    monkeypatch.setitem(sys.modules, typed.__name__, typed)
    assert project_sources([typed.__name__]) == Sources({}, (), (typed.__name__,))


@pytest.mark.parametrize("command", [["own.py"], ["-m", "own"], ["-m", "pkg.own"]])
def test_the_module_that_runs_is_followed(project: Write, command: list[str]) -> None:
    ask = "from llmpso.user_code.project_sources import project_sources\nimport own_a\n"
    ask += "print(sorted(project_sources(['__main__']).hashes))\n"
    folder = project(
        own=ask, own_a="", pkg__init="", pkg__own=f"from . import b\n{ask}", pkg__b=""
    )
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, check=True, capture_output=True, text=True
    )
    inside = {"pkg/__init__.py", "pkg/b.py"} if command[-1] == "pkg.own" else set()
    assert set(eval(done.stdout)) == {"own.py", "own_a.py", *inside}  # noqa: S307 - our own


@pytest.mark.parametrize(
    ("text", "is_late"),
    [
        ("from own import height\n\ndef train(params):\n    import torch\n", False),
        ("def train(params):\n    from own.height import HEIGHT\n", True),
        ("class A:\n    def train(self, params):\n        from . import height\n", True),
        ("def train(params):\n    import own.height as height\n", True),
        ("import importlib\ntrain = lambda p: importlib.import_module('own.height')\n", True),
    ],
)
def test_what_functions_import_as_they_run_is_known(text: str, is_late: bool) -> None:
    assert imports_late({"own/fit.py": text.encode(), "own/data.json": b"{"}) is is_late
