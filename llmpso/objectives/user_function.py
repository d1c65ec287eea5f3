"""A plain function of the user's own as an objective."""

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from llmpso.errors import SpecError
from llmpso.fidelity.reporter import current_reporter, silent_reporter
from llmpso.objectives.held_out import HeldOut
from llmpso.space import Params, SearchSpace
from llmpso.trial import Evaluation

if sys.version_info >= (3, 14):
    from annotationlib import Format

    # Annotations are evaluated when they are read, also those that only a type checker can.
    _signature = partial(inspect.signature, annotation_format=Format.FORWARDREF)
else:
    _signature = inspect.signature

PASSED = ("seed", "fidelity", "trial", "checkpoint")
"""What a function is given besides the configuration, if it names it."""


class PlainFunction:
    """A function that trains one configuration and returns the value to lower.

    Args:
        function: Called as `function(params)`; with `seed`, `fidelity`, `trial` and `checkpoint`
            too, where it has parameters of these names; `trial` is a `Reporter`. It returns a
            number, or an `Evaluation`.
        space: What may be tried.
        path: `module:attribute` by which it was found; the name of a function that has none.
        goals: Names of the values that it returns in an `Evaluation`, if these are several.

    Attributes:
        function: As given.
        goals: As given.
        validated: What the function's module has under this name; missing without one.

    Raises:
        SpecError: It cannot be called like that.
    """

    validated: Callable[[Any], Any]

    def __init__(
        self,
        function: Callable[..., Any],
        space: SearchSpace,
        path: str | None = None,
        goals: Sequence[str] = (),
    ) -> None:
        self.space, self.goals = space, tuple(goals)
        self.function = function
        if (validated := _beside(function, "validated")) is not None:
            self.validated = validated
        self._module, self._called = _names(function, path)
        self._passed = _passed(function, self._called)

    @property
    def name(self) -> str:
        """Module and function; of code that was not imported the function alone."""
        return "-".join(filter(None, (self._module, self._called))).replace("_", "-")

    @property
    def metric(self) -> str:
        """The value has no other name."""
        return f"value of {self._called}"

    @property
    def description(self) -> str:
        """The function's docstring; it becomes part of the prompt."""
        return inspect.getdoc(defining(self.function)) or f"The function {self._called}."

    @property
    def fingerprint(self) -> str | None:
        """What `fingerprint()` of the function's module returns; None without one."""
        found: str | None = _beside(self.function, "fingerprint")
        return found() if callable(found) else found

    def describe_data(self) -> Any:
        """What `describe_data()` of the function's module returns; None without one."""
        described = _beside(self.function, "describe_data")
        return described() if callable(described) else None

    def evaluate(self, params: Params, *, fidelity: float, seed: int) -> Evaluation:
        """Call the function.

        Raises:
            SpaceError: Parameters are outside the space.
        """
        if "checkpoint" not in self._passed:
            return self._returned(params, fidelity=fidelity, seed=seed)
        with TemporaryDirectory() as scratch:
            own = Path(scratch) / "checkpoint"
            return self._returned(params, fidelity=fidelity, seed=seed, checkpoint=own)

    def _returned(self, params: Params, **offered: Any) -> Evaluation:
        offered["trial"] = current_reporter() or silent_reporter(params)
        passed = {name: offered[name] for name in self._passed}
        returned: Any = self.function(self.space.validate(params), **passed)
        return returned if isinstance(returned, Evaluation) else Evaluation(returned)


class ResumableFunction(PlainFunction):
    """A function that trains to a `fidelity`, from where the file `checkpoint` got to.

    See `llmpso.objectives.base.Resumable` for both.
    """

    def train_to(
        self, params: Params, *, fidelity: float, seed: int, checkpoint: Path
    ) -> Evaluation:
        """Call the function, which resumes the training.

        Raises:
            SpaceError: Parameters are outside the space.
        """
        return self._returned(params, fidelity=fidelity, seed=seed, checkpoint=checkpoint)


class HoldOutFunction(PlainFunction):
    """A function whose module can also evaluate a model on a hold-out set.

    Args:
        function: As for `PlainFunction`; it returns an `Evaluation` with a model.
        space: What may be tried.
        losses: From a model to its losses on the held-out samples, oldest first.
        path: As for `PlainFunction`.
        goals: As for `PlainFunction`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        space: SearchSpace,
        losses: Callable[[Any], Any],
        path: str | None = None,
        goals: Sequence[str] = (),
    ) -> None:
        super().__init__(function, space, path, goals)
        self._losses = losses

    def held_out(self, model: Any) -> HeldOut:
        """Losses of a model on the held-out samples."""
        return HeldOut.of(self._losses(model))


class ResumableHoldOutFunction(HoldOutFunction, ResumableFunction):
    """Both at once."""


def function_objective(
    function: Callable[..., Any],
    space: SearchSpace,
    path: str | None = None,
    goals: Sequence[str] = (),
) -> PlainFunction:
    """The objective of a function.

    It is resumable if the function asks for a checkpoint, and has a hold-out set if the module of
    the function has `held_out(model)`.

    Raises:
        SpecError: It cannot be called.
    """
    if not callable(function):
        kind = type(function).__name__
        raise SpecError(
            f"the objective is of type {kind}; it must be a function from a configuration to the "
            "number to minimise, or have a method evaluate(params, *, fidelity, seed)"
        )
    resumes, losses = _asks_for_checkpoint(function), _beside(function, "held_out")
    if losses is None:
        return (ResumableFunction if resumes else PlainFunction)(function, space, path, goals)
    kind = ResumableHoldOutFunction if resumes else HoldOutFunction
    return kind(function, space, losses, path, goals)


def defining(function: Any) -> Any:
    """The function or class whose code a callable runs: that behind a partial, or of an object."""
    if isinstance(function, partial):
        return defining(function.func)
    if inspect.isroutine(function) or inspect.isclass(function):
        return inspect.unwrap(function)
    return type(function)


def _beside(function: Callable[..., Any], name: str) -> Any:
    """What the module of a function has under a name; None if nothing."""
    return getattr(inspect.getmodule(defining(function)), name, None)


def _names(function: Callable[..., Any], path: str | None) -> tuple[str, str]:
    """Module and name of a callable; those of its path, where it has none of its own."""
    own = getattr(function, "__name__", "")
    if own.isidentifier():
        # Code that was not imported, as that of a notebook or a script, is in no module.
        imported = (getattr(function, "__module__", None) or "").removeprefix("__main__")
        return imported.rpartition(".")[2], own
    module, _, attribute = (path or "").partition(":")
    called = attribute or type(function).__name__
    home = module or getattr(defining(function), "__module__", None) or ""
    return home.rpartition(".")[2], called.replace(".", "-")


def _passed(function: Callable[..., Any], called: str) -> tuple[str, ...]:
    """Which of `PASSED` a function asks for."""
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise SpecError(f"{called} is a coroutine or a generator; it must return a number")
    try:
        signature = _signature(function)
    except (TypeError, ValueError):  # of builtins and compiled code have none
        return ()
    passed = tuple(name for name in PASSED if name in signature.parameters)
    try:
        signature.bind({}, **dict.fromkeys(passed))
    except TypeError as error:
        raise SpecError(
            f"{called}{signature} cannot be called with params, a dict, and any of "
            f"{', '.join(PASSED)} ({error}); give further parameters a default"
        ) from error
    if "checkpoint" in passed and "fidelity" not in passed:
        raise SpecError(
            f"{called}{signature} asks for checkpoint, but not for fidelity, the share of the "
            "full training at which it is to leave one; take both"
        )
    return passed


def _asks_for_checkpoint(function: Callable[..., Any]) -> bool:
    return "checkpoint" in _passed(function, _names(function, None)[1])
