import contextlib
import importlib
import sys
import types
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path

import pytest

from llmpso.errors import SpecError
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.objectives.user_function import function_objective
from llmpso.options import DataOptions
from llmpso.running.fingerprint import Fingerprint, evaluation_key, objective_fingerprint
from llmpso.space import Float, SearchSpace
from llmpso.trial import Source, Trial

OBJECTIVE = """
from own_helper import height

class Hill:
    def evaluate(self, params, *, fidelity, seed):
        return height(params)
"""
TRIAL = Trial(3, {"x": 0.1, "n": 2}, Source.SWARM, iteration=1, particle=0, seed=11)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_hill.py").write_text(OBJECTIVE)
    (tmp_path / "own_helper.py").write_text("def height(params):\n    return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def fingerprint() -> Fingerprint:
    for name in ("own_hill", "own_helper"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    return objective_fingerprint(importlib.import_module("own_hill").Hill())


def test_the_source_of_the_class_and_of_what_it_uses_decides(project):
    before = fingerprint()
    assert fingerprint() == before
    helper = project / "own_helper.py"
    helper.write_text(helper.read_text().replace("1.0", "1.50"))
    changed = fingerprint()
    assert changed != before
    (project / "own_hill.py").write_text(OBJECTIVE + "\n# a word more\n")
    assert fingerprint() not in (before, changed)


def test_what_is_not_used_does_not_matter(project):
    before = fingerprint()
    (project / "own_other.py").write_text("x = 1\n")
    assert fingerprint() == before


def test_an_objective_may_tell_its_own():
    class Told:
        def __init__(self, data: str) -> None:
            self.fingerprint = data

    assert objective_fingerprint(Told("a")) == objective_fingerprint(Told("a"))
    assert objective_fingerprint(Told("a")) != objective_fingerprint(Told("b"))


@pytest.mark.parametrize(
    ("fingerprint", "fidelity", "change"),
    [
        ("other", 1.0, {}),
        ("f", 0.5, {}),
        ("f", 1.0, {"params": {"x": 0.1, "n": 3}}),
        ("f", 1.0, {"params": {"x": 0.1, "n": 2.0}}),
        ("f", 1.0, {"seed": 12}),
    ],
)
def test_whatever_changes_the_value_changes_the_address(fingerprint, fidelity, change):
    from dataclasses import replace

    address = evaluation_key("f", TRIAL, 1.0)
    assert evaluation_key(fingerprint, replace(TRIAL, **change), fidelity) != address


def test_where_a_trial_came_from_does_not():
    from dataclasses import replace

    moved = replace(TRIAL, number=9, iteration=4, source=Source.ADVISOR, note="new")
    assert evaluation_key("f", moved, 1.0) == evaluation_key("f", TRIAL, 1.0)


def test_the_code_counts_beside_the_fingerprint_of_an_objective(project):
    source = project / "own_hill.py"
    source.write_text(f'{OBJECTIVE}\n    fingerprint = "data of today"\n')
    before = fingerprint()
    assert (before.covers_data, tuple(before.files)) == (True, ("own_helper.py", "own_hill.py"))
    source.write_text(f'{OBJECTIVE}\n    fingerprint = "data of tomorrow"\n')
    tomorrow = fingerprint()
    # Of another length: else Python may load what it compiled in the same second.
    (project / "own_helper.py").write_text("def height(params):\n    return 20.0\n")
    assert len({before.text, tomorrow.text, fingerprint().text}) == 3


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("7", "fingerprint of objective 'Own' is 7; it must be a text"),
        ("''", "fingerprint of objective 'Own' is ''; it must be a text"),
        ("lambda self: 'a'", "is <bound method .*; it must be a text, .* or a property"),
        ("property(lambda self: 1 / 0)", r"cannot be read \(ZeroDivisionError: division by zero"),
        ("property(lambda self: self.typo)", r"cannot be read \(AttributeError: .*'typo'"),
    ],
)
def test_a_fingerprint_that_says_nothing_is_refused(own, message):
    objective = type("Own", (), {"fingerprint": eval(own)})()  # noqa: S307 - our own
    with pytest.raises(SpecError, match=message):
        objective_fingerprint(objective)


def test_without_a_fingerprint_the_data_is_not_known(project):
    assert not fingerprint().covers_data
    silent = type("Silent", (), {"fingerprint": None, "__module__": "own_hill"})()
    assert not objective_fingerprint(silent).covers_data


def test_a_function_is_its_module_and_its_fingerprint(project):
    (project / "own_fit.py").write_text(
        "from own_helper import height\n\ndef train(params): ...\n"
    )
    space = SearchSpace({"x": Float(0, 1)})

    def current() -> Fingerprint:
        for name in ("own_fit", "own_helper"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        train = importlib.import_module("own_fit").train
        return objective_fingerprint(
            function_objective(train, space, "own_fit:train"), "own_fit:train"
        )

    before = current()
    assert (before.covers_data, tuple(before.files)) == (False, ("own_fit.py", "own_helper.py"))
    with (project / "own_fit.py").open("a") as file:
        file.write("\n\ndef fingerprint():\n    return open('data.csv').read()\n")
    data = project / "data.csv"
    data.write_text("1,2\n")
    with contextlib.chdir(project):
        known = current()
        data.write_text("1,2,3\n")
        grown = current()
    assert known.covers_data
    assert len({before.text, known.text, grown.text}) == 3


def test_two_functions_of_one_file_are_two(project):
    (project / "own_fit.py").write_text("def a(params): ...\ndef b(params): ...\n")
    sys.modules.pop("own_fit", None)
    module, space = importlib.import_module("own_fit"), SearchSpace({"x": Float(0, 1)})
    a, b = (
        objective_fingerprint(function_objective(f, space, f.__name__))
        for f in (module.a, module.b)
    )
    assert a.files == b.files
    assert a.text != b.text


def test_code_typed_into_a_notebook_is_like_no_other(monkeypatch):
    typed = types.ModuleType("typed_in")
    exec("def train(params): ...", typed.__dict__)  # noqa: S102 - our own
    monkeypatch.setitem(sys.modules, "typed_in", typed)
    objective = function_objective(typed.train, SearchSpace({"x": Float(0, 1)}), "typed_in:train")
    first, second = (objective_fingerprint(objective, "typed_in:train") for _ in range(2))
    assert first.missing == ("typed_in",)
    assert first.text != second.text


def test_what_ships_covers_its_data():
    for name in ("rastrigin", "plain-rastrigin"):
        spec = ObjectiveSpec(name)
        assert objective_fingerprint(build_objective(spec), name).covers_data
    texts = {
        objective_fingerprint(
            build_objective(ObjectiveSpec("rastrigin", DataOptions(dims=dims)))
        ).text
        for dims in (2, 3)
    }
    assert len(texts) == 2


KERNEL = """
LIMIT = 3


def scaled(function):
    @functools.wraps(function)
    def inner(params):
        return 2 * function(params)

    return inner


def train(params):
    return [params["x"] for _ in range(LIMIT)][0]


@scaled
def wrapped(params):
    def inner():
        return 1.0

    return inner()


class Hill:
    @staticmethod
    def evaluate(params, *, fidelity, seed):
        return 1.0
"""


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module that a kernel has imported; importing it again sees each edit."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "own_kernel", raising=False)
    file = tmp_path / "own_kernel.py"
    file.write_text(f"import functools\n{KERNEL}")
    importlib.invalidate_caches()
    return file


def of_function(function) -> Fingerprint:
    return objective_fingerprint(function_objective(function, SearchSpace({"x": Float(0, 1)})))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[params["x"] for', '[-params["x"] for'),
        ("return 2 * function", "return 3 * function"),
        ("    def inner():\n        return 1.0", "    def inner():\n        return 1.5"),
        ("seed):\n        return 1.0", "seed):\n        return 2.0"),
        ("def train(params):", "def train(params, seed):"),
        ("def train(params):", "def train(params:"),
    ],
)
def test_code_that_was_edited_but_not_imported_again_has_no_fingerprint(
    notebook, before, after
) -> None:
    module = importlib.import_module("own_kernel")
    text = notebook.read_text()
    assert before in text
    notebook.write_text(text.replace(before, after))
    with pytest.raises(SpecError, match="own_kernel changed since it was imported: import it aga"):
        of_function(module.train)


def test_a_module_of_a_loader_that_stands_on_pythons_is_looked_at_too(
    notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Checking(SourceFileLoader):
        """As beartype's, which Prefect brings in."""

    monkeypatch.setattr(
        sys, "path_hooks", [FileFinder.path_hook((Checking, [".py"])), *sys.path_hooks]
    )
    sys.path_importer_cache.clear()
    module = importlib.import_module("own_kernel")
    sys.path_importer_cache.clear()
    assert isinstance(module.__loader__, Checking)
    assert of_function(module.train) == of_function(module.train)
    notebook.write_text(notebook.read_text().replace("[params", "[-params"))
    with pytest.raises(SpecError, match="changed since it was imported"):
        of_function(module.train)


def test_a_module_that_was_made_without_a_file_is_not_compared_with_one(
    notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = types.ModuleType("own_kernel")
    exec("def train(params):\n    return 5.0", vars(made))
    monkeypatch.setitem(sys.modules, "own_kernel", made)
    assert of_function(made.train)


def test_a_constant_that_was_edited_is_noticed_once_its_file_was_read(notebook) -> None:
    module = importlib.import_module("own_kernel")
    first = of_function(module.train)
    notebook.write_text(f"# A comment changes nothing\n\n{notebook.read_text()}")
    assert of_function(module.train) != first
    notebook.write_text(notebook.read_text().replace("LIMIT = 3", "LIMIT = 4"))
    with pytest.raises(SpecError, match="changed since it was imported"):
        of_function(module.train)
    assert of_function(importlib.reload(module).train)


def test_what_was_taken_from_a_module_before_it_was_imported_again_is_old(notebook) -> None:
    module = importlib.import_module("own_kernel")
    train, hill = module.train, module.Hill()
    notebook.write_text(notebook.read_text().replace("[params", "[-params").replace("1.0", "9.0"))
    importlib.reload(module)
    assert of_function(module.train) and objective_fingerprint(module.Hill())
    for old in (lambda: of_function(train), lambda: objective_fingerprint(hill)):
        with pytest.raises(SpecError, match="with all that is taken from it"):
            old()


def test_code_that_is_put_into_a_module_is_not_that_of_its_file(notebook) -> None:
    module = importlib.import_module("own_kernel")
    exec("def train(params):\n    return 5.0", vars(module))
    assert of_function(module.train) == of_function(module.train)
