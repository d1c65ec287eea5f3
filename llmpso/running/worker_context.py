"""What a worker needs, wherever it runs: it builds the objective once, then evaluates trials.

Only this and, per evaluation, the trial are sent to it.
"""

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Self

from llmpso.objectives.base import DescribedObjective, Objective
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.objectives.torch_threads import limit_threads
from llmpso.running.evaluate import evaluate_trial
from llmpso.running.global_state import GlobalState
from llmpso.running.gpus import take_gpu
from llmpso.running.outcome import Outcome, outcome_to_bytes
from llmpso.trial import Trial


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker must know before its first trial."""

    spec: ObjectiveSpec
    n_threads: int
    """Cores that one evaluation may use."""
    paths: tuple[str, ...]
    """Where the study's process finds modules: an objective may be of the user's own."""
    per_gpu: int | None = None
    """Worker processes that share one GPU; None leaves the devices to the objective."""
    around: str | None = None
    """`module:function` of a context manager, given the trial, that is around each evaluation."""

    @classmethod
    def here(
        cls,
        spec: ObjectiveSpec,
        n_threads: int,
        per_gpu: int | None = None,
        around: str | None = None,
    ) -> Self:
        """A context that finds what this process finds."""
        return cls(spec, n_threads, tuple(map(os.path.abspath, sys.path)), per_gpu, around)

    def prepare(self) -> None:
        """Build the objective, or raise what is in the way.

        Raises:
            LLMPSOError: It cannot be built here, or no GPU is free.
        """
        self._objective()

    def outcome(self, trial: Trial) -> Outcome:
        """The outcome of a trial."""
        return self.evaluate(self._objective(), trial, GlobalState.captured())

    def measure(self, trial: Trial) -> bytes:
        """The outcome of a trial, ready to travel."""
        return outcome_to_bytes(self.outcome(trial))

    def evaluate(self, objective: Objective, trial: Trial, state: GlobalState) -> Outcome:
        """Evaluate a trial here, with global state that is restored after it."""
        # A library may have changed it since.
        limit_threads(self.n_threads)
        with state.restored(), self._around(trial):
            return evaluate_trial(objective, trial)

    def _around(self, trial: Trial) -> AbstractContextManager[None]:
        if self.around is None:
            return nullcontext()
        module, _, name = self.around.partition(":")
        around: AbstractContextManager[None] = getattr(import_module(module), name)(trial)
        return around

    def _objective(self) -> DescribedObjective:
        """The objective, built at the first call in a process and cached."""
        if self.per_gpu is not None:
            take_gpu(self.per_gpu)
        sys.path.extend(path for path in self.paths if path not in sys.path)
        return build_objective(self.spec)
