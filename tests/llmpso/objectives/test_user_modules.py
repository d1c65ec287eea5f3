"""Modules of a user's own: found, run without harm, and refused in one line."""

import sys
from pathlib import Path

import pytest

from llmpso.errors import SpaceError, SpecError
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.objectives.user_modules import import_attribute
from llmpso.options import DataOptions
from llmpso.user_code.calls import run_user_code

SPACE = "rate: {type: float, low: 0.1, high: 1.0}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path


def refused(name: str) -> str:
    spec = ObjectiveSpec(f"{name}:train", DataOptions(space_file="space.yaml"))
    with pytest.raises(SpecError) as caught:
        build_objective(spec)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("open('data/nowhere.csv')", ("FileNotFoundError", "data/nowhere.csv", "line 1")),
        ("def train(params)\n    return 1", ("SyntaxError", "line 1")),
        ("import no_such_package", ("ModuleNotFoundError", "no_such_package")),
        ("\n\n1 / 0", ("ZeroDivisionError", "broken_7.py, line 3")),
        ("raise RuntimeError('two\\nlines')", ("RuntimeError: two lines",)),
        ("import sys; sys.exit(3)", ("SystemExit", "__main__")),
        ("exit()", ("SystemExit",)),
        ("train = ", ("SyntaxError",)),
        ("\x00", ("null bytes",)),
        ("x = 1", ("has no 'train'",)),
        ("class E(BaseException): pass\nclass F(Exception): pass\nraise F", ("F (",)),
    ],
)
def test_a_broken_module_is_refused_in_one_line(folder: Path, code: str, words, request) -> None:
    name = "broken_7" if "1 / 0" in code else f"broken_{abs(hash(request.node.name))}"
    (folder / f"{name}.py").write_text(code)
    message = refused(name)
    assert message.startswith(f"objective '{name}:train'")
    for word in words:
        assert word in message


def test_a_script_that_reads_the_command_line_says_what_it_misses(folder: Path, capsys) -> None:
    (folder / "script_8.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\n"
        "p.add_argument('--data', required=True)\np.parse_args()\n"
    )
    assert "the following arguments are required: --data" in refused("script_8")
    output = capsys.readouterr()
    assert output.out == output.err == ""


def test_what_a_module_prints_is_hidden_from_standard_output(folder: Path, capsys) -> None:
    (folder / "talks_9.py").write_text("print('hello')\ndef train(params): return 1.0\n")
    build_objective(ObjectiveSpec("talks_9:train", DataOptions(space_file="space.yaml")))
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "hello\n"


def test_a_module_that_bears_a_taken_name_is_refused(folder: Path) -> None:
    (folder / "json.py").write_text("def train(params): return 1.0\n")
    message = refused("json")
    assert "not the one in the working directory, because the name is taken" in message


@pytest.mark.parametrize("name", ["llmpso", "yaml"])
def test_so_is_one_of_ours_or_of_a_library(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text("def train(params): return 1.0\n")
    assert "because the name is taken; rename yours" in refused(name)


def test_a_module_of_another_folder_that_was_imported_before_is_taken(
    folder: Path, monkeypatch
) -> None:
    (folder / "before").mkdir()
    for place in (folder, folder / "before"):
        (place / "own_12.py").write_text("def train(params): return 1.0\n")
    monkeypatch.syspath_prepend(folder / "before")
    first = import_attribute("own_12:train")
    assert import_attribute("own_12:train") is first


def test_the_working_directory_is_searched_last(folder: Path, monkeypatch) -> None:
    (folder / "own_10.py").write_text("import colorsys\n")
    (folder / "colorsys.py").write_text("raise RuntimeError('mine')\n")
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    import_attribute("own_10:colorsys")
    assert sys.path[-1] == str(folder)
    assert Path(sys.modules["colorsys"].__file__).parent != folder


def test_a_space_in_python_is_guarded_likewise(folder: Path, capsys) -> None:
    (folder / "own_11.py").write_text("def train(params): return 1.0\n")
    (folder / "space.py").write_text("print('x')\nimport sys\nsys.exit('no such file')\n")
    with pytest.raises(SpaceError, match="space file 'space.py': it cannot be run: SystemExit"):
        build_objective(ObjectiveSpec("own_11:train", DataOptions(space_file="space.py")))
    assert capsys.readouterr().out == ""


def test_an_interrupt_is_no_fault_of_the_code() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_user_code(interrupt)
