import numpy as np
import pytest

from llmpso.benchmark.learning_curves import CURVES, CurveObjective
from llmpso.errors import SpaceError, SpecError
from llmpso.objectives.base import Resumable
from llmpso.objectives.registry import ObjectiveSpec, build_objective


@pytest.mark.parametrize("name", CURVES)
def test_curves_that_ship_are_whole(name):
    objective = CurveObjective(name)
    assert isinstance(objective, Resumable)
    assert len(objective.values) == objective.space.size
    assert np.isfinite(objective.values).all()


@pytest.mark.parametrize("name", CURVES)
def test_a_value_only_falls_with_fidelity_and_ends_where_the_training_did(name):
    objective = CurveObjective(name)
    for params in objective.space.configurations():
        shares = (0.01, 0.25, 0.5, 1.0)
        seen = [objective.evaluate(params, fidelity=share, seed=0) for share in shares]
        values = [evaluation.value for evaluation in seen]
        assert values == sorted(values, reverse=True)
        assert seen[-1].is_final
        for evaluation in seen:
            if evaluation.is_final:
                assert (evaluation.value, evaluation.metrics) == (values[-1], seen[-1].metrics)
    assert seen[0].metrics["epochs"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", CURVES)
def test_a_curve_is_that_of_the_real_training(name):
    """Up to rounding: other processors add in another order."""
    curves, real = CurveObjective(name), build_objective(ObjectiveSpec(name))
    params = {dimension: tried[0] for dimension, tried in CURVES[name].choices.items()}
    params["learning_rate"] = 1e-3
    trained = real.evaluate(params, fidelity=0.1, seed=0)
    looked_up = curves.evaluate(params, fidelity=0.1, seed=0)
    assert trained.metrics["epochs"] == looked_up.metrics["epochs"]
    assert trained.value == pytest.approx(looked_up.value, rel=0.05)


def test_what_was_not_trained_is_refused():
    with pytest.raises(SpecError, match="curves are 'gru'; they must be one of: lstm, cnn"):
        CurveObjective("gru")
    with pytest.raises(SpaceError):
        CurveObjective("cnn").evaluate({"layers": 9}, fidelity=1.0, seed=0)
