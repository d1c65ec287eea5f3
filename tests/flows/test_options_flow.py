"""Options that an older deployment or notebook has, where a flow takes them."""

import pytest

from flows.retune import retune
from flows.tune import tune
from llmpso.errors import SpecError

OLD = "there is no option 'budget'; it is evaluations now"


@pytest.mark.parametrize("flow", [tune, retune])
def test_a_call_names_the_new_option(flow) -> None:
    with pytest.raises(SpecError, match=OLD):
        flow("rastrigin", budget=3)


@pytest.mark.parametrize("flow", [tune, retune])
def test_a_deployments_run_names_the_new_option(flow) -> None:
    with pytest.raises(SpecError, match=OLD):
        flow.validate_parameters({"objective": "rastrigin", "budget": 3})
    with pytest.raises(SpecError, match="there is no option 'evaluation'; did you mean 'eval"):
        flow.validate_parameters({"evaluation": 3})
    taken = flow.validate_parameters({"objective": "rastrigin", "evaluations": 3})
    assert taken["evaluations"] == 3
