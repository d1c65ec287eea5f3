import pytest

from llmpso.errors import SpecError
from llmpso.objectives.analytic_functions import FUNCTIONS, AnalyticObjective


@pytest.mark.parametrize("n_dims", [2, 5, 10])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_minimum_is_zero_at_the_optimum_inside_the_box(function: str, n_dims: int) -> None:
    objective = AnalyticObjective(function, n_dims, seed=4)
    objective.space.validate(objective.optimum)
    assert objective.evaluate(objective.optimum).value == pytest.approx(0, abs=1e-4)
    corner = dict.fromkeys(objective.space, 4.9)
    assert objective.evaluate(corner).value > 0.1


def test_seed_and_function_decide_the_shift() -> None:
    places = [AnalyticObjective(f, 2, seed=s).optimum for f in ("sphere", "levy") for s in (0, 1)]
    assert len({tuple(place.values()) for place in places}) == 4


def test_the_name_reveals_nothing_unless_plain() -> None:
    hidden = AnalyticObjective("rastrigin", 2)
    assert "rastrigin" not in hidden.name + hidden.description
    plain = AnalyticObjective("rastrigin", 2, plain=True)
    assert (plain.name, plain.optimum) == ("rastrigin", {"x1": 0, "x2": 0})


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(SpecError, match="function is 'shubert'; it must be one of: rastrigin"):
        AnalyticObjective("shubert", 2)
    with pytest.raises(SpecError, match="n_dims is 1"):
        AnalyticObjective("sphere", 1)
