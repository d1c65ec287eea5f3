"""How the studies that ship are made, and the data that needs no file."""

from pathlib import Path

import pytest

from llmpso.benchmark import reference_studies
from llmpso.benchmark.reference_data import ReferenceData, reference_data
from llmpso.benchmark.reference_studies import as_text, make, read, with_evidence
from llmpso.objectives.base import DescribedObjective
from llmpso.objectives.registry import ObjectiveSpec, build_objective


def bowl() -> DescribedObjective:
    return build_objective(ObjectiveSpec("plain-rastrigin"))


FOUND = [ReferenceData(name, name, "bowl", bowl) for name in ("north", "south")]


def test_the_file_is_made_once_and_says_what_the_starts_are_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_studies, "EVALUATIONS", 10)
    path = tmp_path / "studies.json"
    make(path, FOUND[:1])
    first = path.read_bytes()
    assert make(path, FOUND[:1]) == read(path)
    assert path.read_bytes() == first
    content = with_evidence(make(path, FOUND), FOUND, None)
    assert [len(study.trials) for study in content.studies["bowl"]] == [10, 10]
    evidence = content.evidence["bowl"]
    # Both are the same function, whose trainings have no noise.
    assert all(each.starts[0] == each.best for each in evidence)
    assert as_text(content).splitlines()[1].startswith("north: 0.00, ")


def test_data_that_needs_no_file_can_be_tuned() -> None:
    found = reference_data({})
    assert len({data.name for data in found}) == len(found)
    assert {data.family for data in found} == {"taiwan", "synthetic", "digits", "textures"}
    for data in found:
        objective = data.objective()
        assert objective.space.size > 1
