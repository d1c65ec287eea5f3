"""What a worker process does, wherever it runs: build the objective once, measure trial by trial.

All that travels there is a specification and, per trial, the trial itself.
"""

import os
import pickle
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Self

import cloudpickle

from llmpso.objectives.base import DescribedObjective, Objective
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.objectives.threads import limit_threads
from llmpso.running.evaluate import Outcome, evaluate_trial, without_model
from llmpso.running.gpus import take_gpu
from llmpso.running.surroundings import Surroundings
from llmpso.trial import Trial
from llmpso.user_code import described


@dataclass(frozen=True, slots=True)
class Site:
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
        """A site that finds what this process finds."""
        return cls(spec, n_threads, tuple(map(os.path.abspath, sys.path)), per_gpu, around)

    def prepare(self) -> None:
        """Build the objective, or raise what is in the way.

        Raises:
            LLMPSOError: It cannot be built here, or no GPU is free.
        """
        self._objective()

    def outcome(self, trial: Trial) -> Outcome:
        """The outcome of a trial."""
        return self.evaluate(self._objective(), trial, Surroundings.found())

    def measure(self, trial: Trial) -> bytes:
        """The outcome of a trial, ready to travel."""
        return packed(self.outcome(trial))

    def evaluate(self, objective: Objective, trial: Trial, surroundings: Surroundings) -> Outcome:
        """Evaluate a trial here, in surroundings that are put back after it."""
        # A library may have changed it since.
        limit_threads(self.n_threads)
        with surroundings.put_back(), self._around(trial):
            return evaluate_trial(objective, trial)

    def _around(self, trial: Trial) -> AbstractContextManager[None]:
        if self.around is None:
            return nullcontext()
        module, _, name = self.around.partition(":")
        around: AbstractContextManager[None] = getattr(import_module(module), name)(trial)
        return around

    def _objective(self) -> DescribedObjective:
        """The objective, built at the first call in a process and kept."""
        if self.per_gpu is not None:
            take_gpu(self.per_gpu)
        sys.path.extend(path for path in self.paths if path not in sys.path)
        return build_objective(self.spec)


def packed(outcome: Outcome) -> bytes:
    """An outcome as bytes, with its model, lambdas included; without a model that is refused."""
    if outcome.evaluation is None or outcome.evaluation.model is None:
        return pickle.dumps((outcome, b""))
    bare = Outcome(outcome.trial, replace(outcome.evaluation, model=None))
    try:
        return pickle.dumps((bare, cloudpickle.dumps(outcome.evaluation.model)))
    except Exception as error:  # noqa: BLE001 - a user's model may refuse in any way
        return pickle.dumps((without_model(outcome, described(error)), b""))


def unpacked(content: bytes) -> Outcome:
    """What a worker of ours measured: the one pickle that is trusted."""
    outcome: Outcome
    outcome, model = pickle.loads(content)
    if not model or outcome.evaluation is None:
        return outcome
    try:
        return Outcome(outcome.trial, replace(outcome.evaluation, model=pickle.loads(model)))
    except Exception as error:  # noqa: BLE001 - a user's model may refuse in any way
        return without_model(outcome, described(error))
