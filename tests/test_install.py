"""What `pip install llmpso` installs, what it can do alone, and what it says of the rest."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1]
PACKAGES = ("llmpso", "tasks", "flows")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"

CORE_ONLY = """
import json, os, sys
from importlib import import_module
from io import StringIO
from contextlib import redirect_stderr

_, installed, libraries, names = sys.argv
sys.path += [libraries, installed]
sys.argv = ["llmpso", "tune"]
for statement in names.split(";"):
    exec(statement)

from llmpso import Float, LivePlot, SearchSpace, choose_backend, minimize
from llmpso.errors import LLMPSOError
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.options import DataOptions, RunOptions
from llmpso.running.gpus import check_gpus
from llmpso.running.runner import open_runner

space = SearchSpace({"x": Float(-1, 1)})
result = minimize(lambda params: params["x"] ** 2, space, evaluations=12, seed=0)
said = {"minimize": result.best.value}

def file_of_space():
    return build_objective(ObjectiveSpec("glob:glob", DataOptions(space_file="space.yaml")))

def runner(name):
    options = RunOptions(runner=name)
    return open_runner(ObjectiveSpec("rastrigin"), options, n_workers=1, n_threads=1)

ATTEMPTS = {
    "lstm": lambda: build_objective(ObjectiveSpec("lstm")),
    "cnn": lambda: build_objective(ObjectiveSpec("cnn")),
    "openai": lambda: choose_backend("openai"),
    "ollama": lambda: choose_backend("ollama"),
    "embedded": lambda: choose_backend("embedded"),
    "LivePlot": lambda: LivePlot(space).png(),
    "to_frame": result.to_frame,
    "plot_best": result.plot_best,
    "plot_parallel": result.plot_parallel,
    "sklearn": lambda: import_module("llmpso.integrations.sklearn"),
    "a space file": file_of_space,
    "dask": lambda: runner("dask"),
    "ray": lambda: runner("ray"),
    "per_gpu": lambda: check_gpus(1, 1),
}
for name, attempt in ATTEMPTS.items():
    try:
        said[name] = repr(attempt())
    except LLMPSOError as error:
        said[name] = str(error)
errors = StringIO()
try:
    with redirect_stderr(errors):
        from flows.__main__ import main
        main()
except SystemExit as ended:
    said["tune"] = f"{ended.code} {errors.getvalue()}"
print(json.dumps(said))
"""

COMMAND = """
import sys
from importlib.metadata import distribution

_, installed, *libraries = sys.argv
# First, and without files that make an editable installation visible.
sys.path[:0] = [installed, *libraries]
(command,) = distribution("llmpso").entry_points.select(name="llmpso")
main = command.load()
print(sys.modules[main.__module__].__file__)
sys.argv = ["llmpso", "--help"]
main()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that contains what an installation that is not editable puts on the path."""
    source, installed = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    for name in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, source / name, ignore=ignore)
    command = [sys.executable, "-c", BUILD, str(source)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (wheel,) = source.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(installed)
    return installed


@pytest.fixture(scope="module")
def said(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What each attempt came to, in a Python that finds the core dependencies only."""
    libraries = tmp_path_factory.mktemp("core")
    for path in core_files():
        (libraries / path.name).symlink_to(path)
    isolated = [sys.executable, "-I", "-S", "-c", CORE_ONLY]
    ended = subprocess.run(
        [*isolated, str(installed), str(libraries), ";".join(names_of_readmes())],
        env={"PATH": os.environ["PATH"], "OPENAI_API_KEY": "none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def core_files() -> set[Path]:
    """Files and folders that the core dependencies, and what they depend on, install."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    waiting, seen = [*project["dependencies"]], set[str]()
    found = set[Path]()
    while waiting:
        required = Requirement(waiting.pop())
        is_needed = required.marker is None or required.marker.evaluate({"extra": ""})
        if is_needed and required.name not in seen:
            seen.add(required.name)
            installed = distribution(required.name)
            waiting += installed.requires or []
            tops = {file.parts[0] for file in installed.files or [] if file.parts[0] != ".."}
            found |= {Path(str(installed.locate_file(top))) for top in tops - {"__pycache__"}}
    return found


def names_of_readmes() -> Iterator[str]:
    """How the READMEs import the library."""
    for readme in (PROJECT / "README.md", PROJECT / "llmpso" / "README.md"):
        yield from re.findall(r"^from llmpso import .+$", readme.read_text(), flags=re.MULTILINE)


def test_every_module_and_every_data_file_is_installed(installed: Path) -> None:
    assert files_of(installed) == {path for path in files_of(PROJECT) if path.suffix != ".md"}


def files_of(folder: Path) -> set[Path]:
    """The files of our packages, relative to a folder."""
    files = (path for name in PACKAGES for path in (folder / name).rglob("*") if path.is_file())
    return {path.relative_to(folder) for path in files if path.parent.name != "__pycache__"}


def test_the_installed_command_explains_itself(installed: Path, tmp_path: Path) -> None:
    libraries = [path for path in sys.path if Path(path).name == "site-packages"]
    command = [sys.executable, "-I", "-S", "-c", COMMAND, str(installed), *libraries]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert str(installed / "flows") in ended.stdout
    assert "Usage: llmpso COMMAND" in ended.stdout


def test_a_study_runs(said: dict[str, object]) -> None:
    assert 0 <= said["minimize"] < 0.1


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("lstm", "the objective 'lstm' needs {}: pip install 'llmpso[torch]'"),
        ("cnn", "the objective 'cnn' needs {}: pip install 'llmpso[torch]'"),
        ("openai", "the advisor 'openai' needs {}: pip install 'llmpso[openai]'"),
        ("ollama", "the advisor 'ollama' needs {}: pip install 'llmpso[ollama]'"),
        ("embedded", "the advisor 'embedded' needs {}: pip install 'llmpso[embedded]'"),
        ("LivePlot", "LivePlot needs {}: pip install 'llmpso[plots]'"),
        ("to_frame", "to_frame needs {}: pip install 'llmpso[plots]'"),
        ("plot_best", "a figure to explore needs {}: pip install 'llmpso[plots]'"),
        (
            "plot_parallel",
            "the importance of hyperparameters needs {}: pip install 'llmpso[plots]'",
        ),
        ("sklearn", "LLMPSOSearchCV needs {}: pip install 'llmpso[sklearn]'"),
        ("a space file", "a space file needs {}: pip install 'llmpso[flows]'"),
        ("dask", "runner is 'dask', which is not installed: pip install 'llmpso[dask]'"),
        ("ray", "runner is 'ray', which is not installed: pip install 'llmpso[ray]'"),
        ("per_gpu", "per_gpu needs {}: pip install 'llmpso[torch]'"),
        ("tune", "2 error: the commands and flows need {}: pip install 'llmpso[flows]'\n"),
    ],
)
def test_what_needs_an_extra_names_it_in_one_line(
    said: dict[str, object], name: str, needs: str
) -> None:
    assert re.fullmatch(re.escape(needs).replace(r"\{\}", r"\w+"), said[name])
