"""Every optimizer, one after the other."""

import importlib.util

import pytest

from optimizer_cases import CASES, Case


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    found = CASES[request.param]
    if found.needs and importlib.util.find_spec(found.needs) is None:
        pytest.skip(f"needs {found.needs}")
    return found
