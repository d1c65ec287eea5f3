"""A search space in a file means what is written there, or the file is refused in one line."""

from pathlib import Path

import pytest

from llmpso import Categorical, Float, Integer
from llmpso.errors import SpaceError
from llmpso.space_file import load_space

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


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("space.json", "{}", "it must end in .yaml, .yml or .py"),
        ("no.yaml", None, "does not exist; check the path"),
        ("space.yaml", "", "it must hold one entry per hyperparameter"),
        ("space.yaml", "{rate: [1", "it is no YAML"),
        ("space.yaml", "rate: 3", "rate has the type 3; it must be one of: float, integer, cat"),
        ("space.yaml", "rate: {type: real, low: 0, high: 1}", "rate has the type 'real'"),
        ("space.yaml", "rate: {type: float, low: 0, hihg: 1}", "'hihg'; did you mean 'high'?"),
        ("space.yaml", "rate: {type: float, low: 0}", "rate lacks high"),
        ("space.yaml", "rate: {type: float, low: 2, high: 1}", "low must be less than high"),
        ("space.yaml", "rate: {type: float, low: a, high: 1}", "the bound must be a number"),
        ("space.py", "spaces = 1", "space is None; it must be a SearchSpace"),
        ("space.py", "import no_such_module", "it cannot be run: ModuleNotFoundError"),
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
