"""A search space in a file means what is written there, or the file is refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from llmpso import Categorical, Fixed, Float, Integer, Ordinal
from llmpso.errors import SpaceError
from llmpso.space.space_file import load_space

YAML = """
rate: {type: float, low: 1e-4, high: 0.1, log: true}
units: {type: integer, low: 8, high: 256}
optimizer: {type: categorical, choices: [adam, sgd]}
"""


def test_yaml_and_python_describe_the_same_space(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(YAML)
    (tmp_path / "space.py").write_text(
        "from llmpso import Categorical, Float, Integer, SearchSpace\n"
        "space = SearchSpace({'rate': Float(1e-4, 0.1, log=True), 'units': Integer(8, 256),\n"
        "    'optimizer': Categorical(['adam', 'sgd'])})\n"
    )
    expected = {
        "rate": Float(1e-4, 0.1, log=True),
        "units": Integer(8, 256),
        "optimizer": Categorical(("adam", "sgd")),
    }
    assert dict(load_space(tmp_path / "space.yaml")) == expected
    assert dict(load_space(tmp_path / "space.py")) == expected


ENDLESS = "&b0 [1, 2, 3], " + ", ".join(f"&b{n} [{f'*b{n - 1}, ' * 9}]" for n in range(1, 9))
"""Choices that refer to each other: 9 ** 8 numbers."""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("space.toml", "{}", "it must end in .yaml, .yml, .json or .py"),
        ("space.json", "{}", "it must hold one entry per hyperparameter"),
        ("space.yaml", "a: {<<: {low: 1}, low: 2, low: 3}", '(line 1: found duplicate key "low")'),
        (
            "space.yaml",
            "a: &a [*a]",
            "a is [[...]]; write {type: fixed, value: …} for a",
        ),
        ("space.yaml", "a: {type: categorical, choices: &c [1, *c]}", "lists within each other"),
        ("space.yaml", f"a: {{type: categorical, choices: [{ENDLESS}]}}", "lists within each oth"),
        (
            "space.yaml",
            "a: {type: float, low: '0.1', high: 1}",
            "low is '0.1', which is text; wri",
        ),
        ("space.yaml", "a: {type: float, low: 'inf', high: 1}", "the bound must be a number"),
        ("no.yaml", None, "does not exist; check the path"),
        ("space.yaml", "", "it must hold one entry per hyperparameter"),
        ("space.yaml", "{rate: [1", "it is no YAML"),
        ("space.yaml", "rate: float", "rate has the type 'float'; it must be one of: float, int"),
        ("space.yaml", "rate:", "rate is None; write {type: fixed, value: …} for a fixed value"),
        ("space.yaml", "rate: [1, 2]", "or {type: categorical, choices: […]} for several"),
        ("space.yaml", "rate: .nan", "choice nan must be a string, a finite number"),
        ("space.yaml", "a: {type: ordinal, choices: 3}", "Ordinal(choices=3): choices must be a"),
        ("space.yaml", "a: {type: fixed}", "a lacks value"),
        (
            "space.yaml",
            "a: {type: float, low: 0, high: 1, when: {b: 1}}",
            "a depends on 'b', which is no hyperparameter (known: a)",
        ),
        (
            "space.yaml",
            "a: {type: float, low: 0, high: 1, when: b}",
            "a: Float(when='b'): it must be a mapping from names of other hyperparameters to val",
        ),
        ("space.yaml", "space: {rate: {type: float}}", "space has no type; it must be one of: fl"),
        ("space.yaml", "a: 1\nb: 2\na: 3", 'it is no YAML (line 3: found duplicate key "a")'),
        ("space.yaml", "a:\n  type: float\n  low: 0\n  low: 1", "(line 4: found duplicate key"),
        ("space.yaml", "a: {type: categorical, choices: sgd}", "choices must be a list, such as"),
        ("space.yaml", "a: {type: categorical, choices: 5}", "choices must be a list, such as"),
        ("space.yaml", "a: {type: categorical, choices: {b: 1}}", "choices must be a list, such"),
        (
            "space.yaml",
            "a: {type: categorical, choices: [None, b]}",
            "'None' is text in YAML;",
        ),
        ("space.yaml", "a: {type: categorical, choices: [yes, no]}", "write true and false, or o"),
        (
            "space.yaml",
            "a: {type: categorical, choices: [1, '2']}",
            "choice '2' is text among",
        ),
        ("space.yaml", "a: {type: categorical, choices: [2024-01-01]}", "must be a string, a fin"),
        (
            "space.yaml",
            "a: {type: integer, low: 1, high: '9'}",
            "high is '9', which is text; write",
        ),
        ("space.yaml", "a: {type: float, low: 0, high: 1, log: maybe}", "must be true or false"),
        ("space.yaml", "a: {type: [float]}", "a has the type ['float']; it must be one of"),
        ("space.yaml", "a: !!python/object:os.system {}", "it is no YAML (line 1: could not"),
        ("space.yaml", "---\na: 1\n---\nb: 2", "it is no YAML (line 3: but found another doc"),
        ("space.yaml", "[" * 5000, "it is no YAML ("),
        ("space.yaml", "a: {type: float, low: 0, high: .inf}", "both bounds must be finite"),
        ("space.yaml", "1: {type: float, low: 0, high: 1}", "name 1 must be a non-empty string"),
        ("space.yaml", "rate: {type: real, low: 0, high: 1}", "rate has the type 'real'"),
        ("space.yaml", "rate: {type: float, low: 0, hihg: 1}", "'hihg'; did you mean 'high'?"),
        ("space.yaml", "rate: {type: float, low: 0}", "rate lacks high"),
        ("space.yaml", "rate: {type: float, low: 2, high: 1}", "low must be less than high"),
        ("space.yaml", "rate: {type: float, low: a, high: 1}", "the bound must be a number"),
        ("space.py", "spaces = 1", "space is None; it must be a SearchSpace"),
        ("space.py", "import no_such_module", "it cannot be run: ModuleNotFoundError"),
        ("space.py", "x = 1\nraise KeyError('rate')", "run: KeyError: 'rate' (space.py, line 2)"),
        ("space.py", "import sys; sys.exit(3)", "it cannot be run: SystemExit: 3 (space.py, line"),
        ("space.py", "def f(:", "it cannot be run: SyntaxError: invalid syntax"),
    ],
)
def test_a_file_that_describes_no_space_is_refused(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SpaceError) as caught:
        load_space(tmp_path / name)
    assert message in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            "{type: categorical, choices: [1e-4, 1E3]}",
            Categorical((1e-4, 1e3)),
        ),
        ("{type: categorical, choices: [on, off, layer]}", Categorical(("on", "off", "layer"))),
        ("{type: categorical, choices: [scale, auto, 0.1]}", Categorical(("scale", "auto", 0.1))),
        ("{type: categorical, choices: ['1', '2']}", Categorical(("1", "2"))),
        ("{type: categorical, choices: [null, ~, a]}", None),
        ("{type: categorical, choices: [null, [3, 5], a]}", Categorical((None, (3, 5), "a"))),
        ("{type: integer, low: 010, high: 1_000}", Integer(10, 1000)),
        ("{type: integer, low: 1, high: 1e3}", Integer(1, 1000)),
        ("{type: integer, low: 32, high: 256, step: 32}", Integer(32, 256, step=32)),
        ("{type: float, low: 0, high: 1, step: 0.25}", Float(0, 1, step=0.25)),
        ("{type: float, low: 0.1, high: 1, log: yes}", Float(0.1, 1, log=True)),
        ("{type: integer, low: 5, high: 5}", Integer(5, 5)),
        ("{type: integer, low: 5, high: 9, step: null}", Integer(5, 9)),
        ("{<<: {type: float, low: 0, high: 1}, high: 2}", Float(0, 2)),
    ],
)
def test_yaml_means_what_is_written(tmp_path: Path, entry: str, expected: object) -> None:
    (tmp_path / "space.yaml").write_text(f"no: {entry}")
    if expected is None:
        with pytest.raises(SpaceError, match="choices must differ"):
            load_space(tmp_path / "space.yaml")
    else:
        assert dict(load_space(tmp_path / "space.yaml")) == {"no": expected}


CONDITIONAL = """
optimizer: {type: categorical, choices: [adam, sgd, rmsprop]}
momentum: {type: float, low: 0, high: 0.99, when: {optimizer: [sgd, rmsprop]}}
layers: {type: integer, low: 1, high: 3}
units_2: {type: ordinal, choices: [16, 32, 64], when: {layers: ">= 2"}}
skip: {type: categorical, choices: [true, null], when: {layers: 3, optimizer: adam}}
epochs: 20
cell: lstm
bias: true
window: {type: fixed, value: [3, 5]}
"""


def test_conditions_fixed_values_and_ordinals_are_read(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(CONDITIONAL)
    space = load_space(tmp_path / "space.yaml")
    assert dict(space) == {
        "optimizer": Categorical(["adam", "sgd", "rmsprop"]),
        "momentum": Float(0, 0.99, when={"optimizer": ["sgd", "rmsprop"]}),
        "layers": Integer(1, 3),
        "units_2": Ordinal([16, 32, 64], when={"layers": ">= 2"}),
        "skip": Categorical([True, None], when={"layers": 3, "optimizer": "adam"}),
        "epochs": Fixed(20),
        "cell": Fixed("lstm"),
        "bias": Fixed(True),
        "window": Fixed((3, 5)),
    }
    assert space.decode(np.zeros(9)) == {
        "optimizer": "adam",
        "layers": 1,
        "epochs": 20,
        "cell": "lstm",
        "bias": True,
        "window": (3, 5),
    }


def test_constraints_are_read_unless_a_hyperparameter_has_that_name(tmp_path: Path) -> None:
    sizes = "units: {type: integer, low: 8, high: 512}\nlayers: {type: integer, low: 1, high: 6}\n"
    (tmp_path / "space.yaml").write_text(f"constraints: ['units * layers <= 512']\n{sizes}")
    space = load_space(tmp_path / "space.yaml")
    assert list(space) == ["units", "layers"]
    assert space.violated({"units": 512, "layers": 2}) == "'units * layers <= 512'"
    (tmp_path / "space.yaml").write_text(f"{sizes}constraints: 3")
    assert list(load_space(tmp_path / "space.yaml")) == ["units", "layers", "constraints"]
    for wrong, message in (("[units <]", "is no expression"), ("[3]", "constraint 3 must be an")):
        (tmp_path / "space.yaml").write_text(f"{sizes}constraints: {wrong}")
        with pytest.raises(SpaceError, match=message):
            load_space(tmp_path / "space.yaml")


def test_json_and_the_files_of_powershell_are_read(tmp_path: Path) -> None:
    text = '{"a": {"type": "float", "low": 0, "high": 1}}'
    for name, encoding in (("s.json", "utf-8-sig"), ("s.YAML", "utf-16"), ("s.yml", "utf-8")):
        (tmp_path / name).write_text(text, encoding=encoding)
        assert dict(load_space(tmp_path / name)) == {"a": Float(0, 1)}
    (tmp_path / "s.yaml").write_text("größe: 1", encoding="latin-1")
    with pytest.raises(SpaceError, match="it is no text in UTF-8; save it as such"):
        load_space(tmp_path / "s.yaml")


def test_a_file_of_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_bytes(b"\xef\xbb\xbfa: {type: float, low: 0, high: 1}\r\n")
    assert dict(load_space(tmp_path / "space.yaml")) == {"a": Float(0, 1)}
