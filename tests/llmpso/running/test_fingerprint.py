import importlib
import sys
from pathlib import Path

import pytest

from llmpso.running.fingerprint import evaluation_address, objective_fingerprint
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


def fingerprint() -> str:
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

    address = evaluation_address("f", TRIAL, 1.0)
    assert evaluation_address(fingerprint, replace(TRIAL, **change), fidelity) != address


def test_where_a_trial_came_from_does_not():
    from dataclasses import replace

    moved = replace(TRIAL, number=9, iteration=4, source=Source.ADVISOR, note="new")
    assert evaluation_address("f", moved, 1.0) == evaluation_address("f", TRIAL, 1.0)
