"""A plain function of the user's own as an objective."""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from llmpso.errors import SpecError
from llmpso.retuning.promotion import HeldOut
from llmpso.space import Params, SearchSpace
from llmpso.trial import Evaluation

PASSED = ("seed", "fidelity")
"""What a function is given besides the configuration, if it names it."""


class PlainFunction:
    """A function that trains one configuration and returns the value to lower.

    Args:
        function: Called as `function(params)`; with `seed` and `fidelity` too, where it has
            parameters of these names. It returns a number, or an `Evaluation`.
        space: What may be tried.

    Raises:
        SpecError: It cannot be called like that.
    """

    def __init__(self, function: Callable[..., Any], space: SearchSpace) -> None:
        self.space = space
        self._function = function
        self._passed = _passed(function)

    @property
    def name(self) -> str:
        """Module and function."""
        module = self._function.__module__.rpartition(".")[2]
        return f"{module}-{self._function.__name__}".replace("_", "-")

    @property
    def metric(self) -> str:
        """The value has no other name."""
        return f"value of {self._function.__name__}"

    @property
    def description(self) -> str:
        """The function's docstring; it is told to the language model."""
        return inspect.getdoc(self._function) or f"The function {self._function.__name__}."

    @property
    def fingerprint(self) -> str:
        """Hash of the file that defines the function; what it reads or imports is not seen."""
        file = Path(inspect.getfile(self._function))
        return hashlib.sha256(file.read_bytes()).hexdigest()

    def evaluate(self, params: Params, *, fidelity: float, seed: int) -> Evaluation:
        """Call the function.

        Raises:
            SpaceError: Parameters lie outside the space.
        """
        offered = {"seed": seed, "fidelity": fidelity}
        passed = {name: offered[name] for name in self._passed}
        result = self._function(self.space.validate(params), **passed)
        return result if isinstance(result, Evaluation) else Evaluation(float(result))


class JudgedFunction(PlainFunction):
    """A function whose module can also judge a model on data that no trial was chosen by.

    Args:
        function: As for `PlainFunction`; it returns an `Evaluation` with a model.
        space: What may be tried.
        judge: From a model to its losses on the held-out samples, oldest first.
    """

    def __init__(
        self, function: Callable[..., Any], space: SearchSpace, judge: Callable[[Any], Any]
    ) -> None:
        super().__init__(function, space)
        self._judge = judge

    def held_out(self, model: Any) -> HeldOut:
        """Losses of a model on the held-out samples."""
        losses = self._judge(model)
        if isinstance(losses, HeldOut):
            return losses
        return HeldOut(np.asarray(losses, dtype=np.float64).ravel())


def function_objective(function: Callable[..., Any], space: SearchSpace) -> PlainFunction:
    """The objective of a function; judged, where its module defines `held_out(model)`."""
    judge = getattr(inspect.getmodule(function), "held_out", None)
    if judge is None:
        return PlainFunction(function, space)
    return JudgedFunction(function, space, judge)


def _passed(function: Callable[..., Any]) -> tuple[str, ...]:
    """Which of `PASSED` a function asks for."""
    parameters = inspect.signature(function).parameters
    passed = tuple(name for name in PASSED if name in parameters)
    try:
        inspect.signature(function).bind({}, **dict.fromkeys(passed))
    except TypeError as error:
        raise SpecError(
            f"{function.__name__}{inspect.signature(function)} cannot be called with params and "
            f"{', '.join(PASSED)} ({error}); give further parameters a default"
        ) from error
    return passed
