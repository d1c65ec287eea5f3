"""Options that an older deployment or notebook has, where a flow takes them."""

import re

import pytest
from prefect.utilities.callables import parameter_schema

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


@pytest.mark.parametrize("flow", [tune, retune])
def test_the_form_says_where_a_group_of_options_begins_and_ends(flow) -> None:
    """Prefect shows one long list, and reads the texts in it as Markdown."""
    described = {
        name: field["description"] for name, field in parameter_schema(flow).properties.items()
    }
    assert described["csv"].startswith("**Data and space, from here to `choose`.** Time series")
    assert described["evaluations"].startswith("**Search, from here to `seed`.** ")
    groups = re.compile(r"\*\*[A-Z][a-z ]+, from here to `(\w+)`\.\*\* ")
    begin = {name: match[1] for name, text in described.items() if (match := groups.match(text))}
    assert len(begin) == 6
    order = list(described)
    ends = [order.index(end) for end in begin.values()]
    assert [order.index(name) for name in list(begin)[1:]] == [place + 1 for place in ends[:-1]]
