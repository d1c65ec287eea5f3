"""What a worker process does, wherever it runs: build the objective once, measure trial by trial.

All that travels there is a specification and, per trial, the trial itself.
"""

import os
import pickle
import sys
from dataclasses import dataclass, replace
from typing import Self

import cloudpickle

from llmpso.objectives.base import DescribedObjective
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.objectives.threads import limit_threads
from llmpso.running.evaluate import Outcome, evaluate_trial, without_model
from llmpso.running.gpus import take_gpu
from llmpso.running.surroundings import Surroundings
from llmpso.trial import Trial


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

    @classmethod
    def here(cls, spec: ObjectiveSpec, n_threads: int, per_gpu: int | None = None) -> Self:
        """A site that finds what this process finds."""
        return cls(spec, n_threads, tuple(map(os.path.abspath, sys.path)), per_gpu)

    def prepare(self) -> None:
        """Build the objective, or raise what is in the way.

        Raises:
            LLMPSOError: It cannot be built here, or no GPU is free.
        """
        self._objective()

    def measure(self, trial: Trial) -> bytes:
        """The outcome of a trial, ready to travel."""
        objective = self._objective()
        # A library may have changed it since.
        limit_threads(self.n_threads)
        with Surroundings.found().put_back():
            return packed(evaluate_trial(objective, trial))

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
        return pickle.dumps((without_model(outcome, error), b""))


def unpacked(content: bytes) -> Outcome:
    """What a worker of ours measured: the one pickle that is trusted."""
    outcome: Outcome
    outcome, model = pickle.loads(content)
    if not model or outcome.evaluation is None:
        return outcome
    try:
        return Outcome(outcome.trial, replace(outcome.evaluation, model=pickle.loads(model)))
    except Exception as error:  # noqa: BLE001 - a user's model may refuse in any way
        return without_model(outcome, error)
