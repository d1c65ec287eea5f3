"""The examples in the docstrings run, and say what comes out."""

import doctest
import importlib
import inspect

import pytest

import llmpso

MODULES = sorted(
    {
        inspect.getmodule(getattr(llmpso, name)).__name__
        for name in llmpso.__all__
        if ">>>" in (inspect.getdoc(getattr(llmpso, name)) or "")
    }
    | {"llmpso.integrations.sklearn"}
)


def test_the_public_names_have_examples() -> None:
    assert set(MODULES) >= {
        "llmpso.options",
        "llmpso.pages.live_plot",
        "llmpso.search.pso",
        "llmpso.space.dimensions",
        "llmpso.space.search_space",
        "llmpso.study.minimize",
    }


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_are_right(module: str) -> None:
    failed, attempted = doctest.testmod(
        importlib.import_module(module), optionflags=doctest.ELLIPSIS
    )
    assert attempted > 0
    assert failed == 0
