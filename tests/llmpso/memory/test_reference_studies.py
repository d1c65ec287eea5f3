"""The studies that ship fit the networks' spaces, know no example's data, and must be worth it."""

from statistics import fmean

import pytest

from llmpso.benchmark.reference_studies import EVALUATIONS, N_STARTS
from llmpso.memory.mapping import fits
from llmpso.memory.memory import StudyMemory
from llmpso.memory.reference_studies import MOST_REGRET, reference_studies, shipped
from llmpso.objectives.registry import ObjectiveSpec, build_objective

NETWORKS = ("lstm", "cnn")


@pytest.mark.parametrize("network", NETWORKS)
def test_they_are_of_several_families_of_data_and_fit(network: str) -> None:
    objective, studies = build_objective(ObjectiveSpec(network)), shipped().studies[network]
    assert len({study.description["family"] for study in studies}) >= 3
    assert len({study.name for study in studies}) == len(studies)
    for study in studies:
        assert len(study.trials) == EVALUATIONS
        assert fits(objective.space, study)
        assert study.description["task"] != objective.description


@pytest.mark.parametrize("network", NETWORKS)
def test_the_file_holds_what_the_starts_were_worth(network: str) -> None:
    evidence = shipped().evidence[network]
    names = [f"reference study {each.data}" for each in evidence]
    assert sorted(names) == sorted(study.name for study in shipped().studies[network])
    for each in evidence:
        assert len(each.starts) == N_STARTS
        assert each.regret(each.best) == 0
        assert each.regret(each.blind) == 1


@pytest.mark.parametrize("network", NETWORKS)
def test_only_those_are_used_whose_first_starts_were_worth_it(network: str) -> None:
    evidence = shipped().evidence[network]
    mean = fmean(each.regret(each.starts[0]) for each in evidence)
    assert bool(reference_studies(network)) == (mean <= MOST_REGRET)


def test_a_study_of_the_cnn_can_begin_from_them() -> None:
    objective = build_objective(ObjectiveSpec("cnn"))
    start = StudyMemory(objective.space, reference_studies("cnn")).start(lambda params: False)
    assert start is not None
    assert objective.space.validate(start) == start


def test_an_objective_of_a_users_own_has_none() -> None:
    assert reference_studies("package.module:train") == ()
    assert reference_studies("rastrigin") == ()
