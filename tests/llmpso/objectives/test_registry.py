import pytest

from llmpso.errors import LLMPSOError, SpecError
from llmpso.objectives.registry import ObjectiveSpec, _stamp, build_objective
from llmpso.options import DataOptions


def test_each_name_builds_its_objective():
    wide = build_objective(ObjectiveSpec("lstm", DataOptions(space="wide")))
    assert wide.name == "lstm-air-quality"
    assert len(build_objective(ObjectiveSpec("cnn", DataOptions(space="paper"))).space) == 2
    hidden = build_objective(ObjectiveSpec("rastrigin", DataOptions(dims=3)))
    assert list(hidden.space) == ["x1", "x2", "x3"]
    assert "rastrigin" not in hidden.name + hidden.description
    assert hidden.evaluate({"x1": 0.0, "x2": 0.0, "x3": 0.0}, fidelity=1.0, seed=0).value > 1
    plain = build_objective(ObjectiveSpec("plain-rastrigin", DataOptions(dims=2)))
    assert plain.name == "rastrigin"
    assert plain.evaluate({"x1": 0.0, "x2": 0.0}, fidelity=1.0, seed=0).value == 0


def test_a_long_lived_worker_sees_a_new_image_in_a_folder_of_a_class(tmp_path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"one")
    before = _stamp(str(tmp_path))
    assert _stamp(str(tmp_path)) == before
    (tmp_path / "cat" / "2.png").write_bytes(b"two")
    added = _stamp(str(tmp_path))
    (tmp_path / "cat" / "1.png").write_bytes(b"another")
    assert len({before, added, _stamp(str(tmp_path))}) == 3


@pytest.mark.parametrize("field", ["name", "metric", "description"])
@pytest.mark.parametrize("reported", ["a\0b", "\ud83d", None, 5])
def test_what_an_objective_says_of_itself_is_text(field, reported, tmp_path, monkeypatch) -> None:
    module = f"says_{field}_{abs(hash(reported))}"
    (tmp_path / f"{module}.py").write_text(
        "from llmpso import Float, SearchSpace\n"
        "class Odd:\n"
        "    name, metric, description = 'odd', 'loss', 'An objective.'\n"
        "    space = SearchSpace({'x': Float(0.0, 1.0)})\n"
        f"    {field} = {reported!r}\n"
        "    def evaluate(self, params, *, fidelity, seed):\n"
        "        return 1.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecError, match=f":Odd': its {field} is .*; it must be text without NUL"):
        build_objective(ObjectiveSpec(f"{module}:Odd"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "gpt"}, "objective is 'gpt'; it must be 'lstm', 'cnn', 'rastrigin'"),
        ({"images": "a"}, "images is 'a', an option of cnn; objective 'lstm' does not take it"),
        ({"name": "cnn", "horizon": 3}, "horizon is 3, an option of lstm; objective 'cnn'"),
        ({"name": "a:b", "space": "wide"}, "space is 'wide', an option of lstm and cnn"),
        ({"name": "cnn", "dims": 3}, "dims is 3, an option of rastrigin and plain-rastrigin"),
        ({"name": "cnn", "classes": "a"}, "classes are those of your images; name them with"),
        ({"name": "cnn", "space": "all"}, "space is 'all'; it must be 'paper', 'standard', 'wi"),
        ({"name": "rastrigin", "dims": 1}, "dims is 1; it must be at least 2"),
        ({"name": "cnn", "images": "nowhere"}, "images 'nowhere' does not exist"),
        ({"timezone": "UTC"}, "timezone is how a file is written; name it with csv"),
        ({"csv": "a", "target": "b", "decimal": ";"}, "decimal is ';'; it must be '.' or ','"),
        ({"csv": "a", "target": "b", "time": "t"}, "file 'a' does not exist; check the path"),
    ],
)
def test_a_mistake_is_refused_in_one_line(fields, message):
    with pytest.raises(LLMPSOError) as caught:
        name = fields.pop("name", "lstm")
        build_objective(ObjectiveSpec(name, DataOptions(**fields)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_objective_is_refused_in_one_line(tmp_path, monkeypatch) -> None:
    (tmp_path / "half_objective.py").write_text(
        "class NeedsArgument:\n"
        "    def __init__(self, folder):\n"
        "        self.folder = folder\n"
        "class Refuses:\n"
        "    def __init__(self):\n"
        "        raise SystemExit('no data')\n"
        "class Lacks:\n"
        "    name = 'lacks'\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, reason in {
        "NeedsArgument": "cannot be made: TypeError: .* missing 1 required .* argument: 'folder'",
        "Refuses": "cannot be made: SystemExit: no data",
        "Lacks": "is a Lacks without evaluate, metric, description, space; it must be a function",
        "number": "is a int without evaluate, name, metric, description, space; it must be",
    }.items():
        with pytest.raises(SpecError, match=reason) as caught:
            build_objective(ObjectiveSpec(f"half_objective:{name}"))
        assert "\n" not in str(caught.value)
