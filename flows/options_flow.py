"""A flow whose parameters are options: a deployment may hold one that has another name now."""

from collections.abc import Callable
from inspect import signature
from typing import Any, TypeVar

from prefect import Flow

from flows.parameters import form_docstring
from llmpso.option_group import Options
from llmpso.options import check_names

R = TypeVar("R")

OF_PREFECT = frozenset({"return_state", "wait_for"})
"""What a call of a flow may name besides its parameters."""


class OptionsFlow(Flow[..., R]):
    """Refuses an option that it does not have in one line, which names the one that is meant.

    Raises:
        SpecError: There is no such option.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow."""
        check_names(kwargs.keys() - OF_PREFECT, signature(self.fn).parameters)
        return super().__call__(*args, **kwargs)

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """What Prefect calls with the parameters of a deployment's run."""
        check_names(parameters, signature(self.fn).parameters)
        return super().validate_parameters(parameters)


def options_flow(
    kind: type[Options], **settings: Any
) -> Callable[[Callable[..., R]], OptionsFlow[R]]:
    """Make a flow of a function of options; the settings are those of Prefect's `flow`."""

    def made(function: Callable[..., R]) -> OptionsFlow[R]:
        flow = OptionsFlow(function, **settings)
        flow.__doc__ = form_docstring(kind)
        return flow

    return made
