"""What a worker needs, wherever it runs: it builds the objective once, then evaluates trials.

Only this and, per evaluation, the trial are sent to it.
"""

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from threading import Lock
from typing import Self
from uuid import uuid4

from llmpso.errors import SpecError
from llmpso.objectives.base import DescribedObjective, Objective
from llmpso.objectives.registry import ObjectiveSpec, build_objective, forget_objectives
from llmpso.objectives.torch_threads import limit_threads
from llmpso.objectives.user_modules import forget_modules
from llmpso.running.evaluate import evaluate_trial
from llmpso.running.fingerprint import Fingerprint, objective_fingerprint
from llmpso.running.global_state import GlobalState
from llmpso.running.gpus import take_gpu
from llmpso.running.outcome import Outcome, outcome_to_bytes
from llmpso.running.sent_files import SentFiles, files_of, receive
from llmpso.trial import Trial
from llmpso.user_code.project_sources import imports_late, project_sources

_BUILDING = Lock()
"""Held while any of what follows is looked at or changed."""

_TEXTS: dict[ObjectiveSpec, str] = {}
"""The fingerprint that each objective had when this process built it last."""

_FILES: dict[str, str] = {}
"""Hashes of the files of code that this process has loaded for them."""

_FIRST: dict[str, str] = {}
"""The fingerprint that the objective of each study had here at first."""

_STUDIES: list[str] = []
"""Those that this process has trained for, the first one first."""

_RUNNING: list["WorkerContext"] = []
"""Of each training that runs in this process now."""

_REPLACED: set[str] = set()
"""Studies that trained here while a later one brought other code: what functions import is its."""


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
    fingerprint: Fingerprint | None = None
    """The objective's, for workers that may be older than the study."""
    files: SentFiles = ()
    """The user's code and space file, for workers on machines without them."""
    study: str = ""
    """Distinguishes the studies that share a worker; empty if it belongs to one."""

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

    def for_processes(self) -> Self:
        """The same context, for processes of this machine: one may start after an edit."""
        if ":" not in self.spec.path:
            return self
        fingerprint = objective_fingerprint(build_objective(self.spec), self.spec.path)
        return replace(self, fingerprint=fingerprint)

    def for_a_cluster(self) -> Self:
        """The same context, for workers that are older than the study or on other machines.

        By the fingerprint they notice that they have other code, or older data.
        """
        fingerprint = objective_fingerprint(build_objective(self.spec), self.spec.path)
        files = files_of(self.spec)
        return replace(self, fingerprint=fingerprint, files=files, study=uuid4().hex)

    def prepare(self) -> None:
        """Build the objective, or raise what is in the way.

        Raises:
            LLMPSOError: It cannot be built here, or no GPU is free.
        """
        with self._objective():
            pass

    def outcome(self, trial: Trial) -> Outcome:
        """The outcome of a trial.

        Raises:
            LLMPSOError: A later study brought other code here meanwhile.
        """
        with self._objective() as objective:
            return self.evaluate(objective, trial, GlobalState.captured())

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

    @contextmanager
    def _objective(self) -> Iterator[DescribedObjective]:
        """The objective, built at the first call in a process and cached, for one training."""
        if self.per_gpu is not None:
            take_gpu(self.per_gpu)
        sys.path.extend(path for path in self.paths if path not in sys.path)
        with _BUILDING:
            self._settle()
            spec = receive(self.files, self.spec, [context.files for context in _RUNNING])
            objective = _built(spec, self.fingerprint, self.study)
            _RUNNING.append(self)
        try:
            yield objective
        finally:
            with _BUILDING:
                _RUNNING[:] = [context for context in _RUNNING if context is not self]
        self._check_place()

    def _settle(self) -> None:
        """Let the earlier of two studies end whose code cannot be kept apart."""
        if self.study not in _STUDIES:
            _STUDIES.append(self.study)
        for other in _RUNNING:
            if _are_mixed(self, other):
                _REPLACED.add(min(other.study, self.study, key=_STUDIES.index))
        self._check_place()

    def _check_place(self) -> None:
        if self.study in _REPLACED:
            raise SpecError(
                f"a later study brought other code to the worker on {socket.gethostname()} while "
                "this one trained there; give each study workers of its own, or run them one "
                "after the other"
            )


@lru_cache(maxsize=8)
def _built(spec: ObjectiveSpec, fingerprint: Fingerprint | None, study: str) -> DescribedObjective:
    if fingerprint is None:
        return build_objective(spec)
    if _is_older(spec, fingerprint):
        _built.cache_clear()
        forget_objectives()
        if ":" in spec.path:
            forget_modules(project_sources([spec.path.partition(":")[0]]).modules)
    _TEXTS[spec] = fingerprint.text
    _FILES.update(fingerprint.files)
    objective = build_objective(spec)
    here = objective_fingerprint(objective, spec.path)
    _check_code(here, fingerprint)
    if not here.missing and _FIRST.setdefault(study, here.text) != here.text:
        raise SpecError(
            f"the data of {spec.path!r} changed on the worker on {socket.gethostname()} since "
            "this study began; start it again"
        )
    return objective


def _is_older(spec: ObjectiveSpec, fingerprint: Fingerprint) -> bool:
    """Whether this process has other code or other data of an objective than a study has."""
    is_edited = _differ(_FILES, fingerprint.files)
    return is_edited or _TEXTS.get(spec, fingerprint.text) != fingerprint.text


def _are_mixed(one: WorkerContext, other: WorkerContext) -> bool:
    """Whether a module differs in two studies, and one of them may import it as it trains."""
    ours, theirs = one.fingerprint, other.fingerprint
    if ours is None or theirs is None or not _differ(ours.files, theirs.files):
        return False
    return _imports_late(one.files) or _imports_late(other.files)


@lru_cache(maxsize=8)
def _imports_late(files: SentFiles) -> bool:
    return imports_late(dict(files))


def _differ(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return any(one.get(name, known) != known for name, known in other.items())


def _check_code(here: Fingerprint, asked: Fingerprint) -> None:
    """Refuse other code than the study's: its values would be taken for those of the study's.

    What is installed as a package here, but not there, is not compared.
    """
    other = [name for name, known in here.files.items() if asked.files.get(name, known) != known]
    if other:
        raise SpecError(
            f"the worker on {socket.gethostname()} has another {', '.join(other)} than this "
            "study; give it the same code, and restart it"
        )
