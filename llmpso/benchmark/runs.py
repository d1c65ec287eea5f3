"""Paired studies: run once, written once, never run again while they stand."""

import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from threadpoolctl import threadpool_limits

from llmpso.backends.base import Backend
from llmpso.benchmark.arms import Arm, build_search
from llmpso.benchmark.problems import Problem
from llmpso.errors import DataError
from llmpso.objectives.torch_threads import limit_threads
from llmpso.running.evaluate import evaluate_trial
from llmpso.space import SearchSpace
from llmpso.study.loop import run_study
from llmpso.study.result import StudyResult
from llmpso.study.workers import Batches
from llmpso.trial import Trial

Row = dict[str, Any]
"""One trial with all that its study needs to be evaluated."""


@dataclass(frozen=True, slots=True)
class StudyGroup:
    """The studies of one arm on one problem: one per seed."""

    problem: Problem
    arm: Arm
    seeds: tuple[int, ...]
    budget: int
    key: str
    """The arm's, see `Arm.key`."""

    def folder(self, root: Path) -> Path:
        """Where the trials of these studies, and of none other, are stored."""
        return root / "trials" / quote(self.problem.name, safe="") / self.arm.name / self.key

    def missing(self, root: Path) -> tuple[int, ...]:
        """The seeds whose studies were not run yet."""
        done: set[int] = set()
        for part in self.folder(root).glob("*.parquet"):
            done |= set(pd.read_parquet(part, columns=["seed"])["seed"])
        return tuple(seed for seed in self.seeds if seed not in done)


def run_group(group: StudyGroup, root: Path, executor: Executor, backend: Backend | None) -> int:
    """Run what is missing of a group, and keep each study as it ends.

    Returns:
        How many studies were run.
    """
    seeds = group.missing(root)
    if seeds:
        run = partial(study_rows, group.problem, group.arm, group.budget)
        for rows in executor.map(run, seeds, repeat(backend)):
            _write(group, root, rows)
    return len(seeds)


def study_rows(
    problem: Problem, arm: Arm, budget: int, seed: int, backend: Backend | None
) -> list[Row]:
    """Run one study; one row per trial."""
    # Linear algebra this small is thirty times slower when its threads fight over busy cores.
    with threadpool_limits(limits=1):
        search, objective = build_search(arm, problem, seed, backend), problem.objective(seed)
        result = run_study(
            search.optimizer,
            Batches(lambda trials: [evaluate_trial(objective, trial).trial for trial in trials]),
            min(budget, arm.max_evaluations or budget),
            search.advisor,
        )
    shared = {"problem": problem.name, "arm": arm.name, "seed": seed, "budget": budget}
    shared |= asdict(problem.scale(seed)) | _asked(result)
    return [shared | trial for trial in _trial_rows(result.trials, objective.space)]


def load_trials(groups: Iterable[StudyGroup], root: Path) -> pd.DataFrame:
    """All trials of finished groups.

    Raises:
        DataError: A study of one of them was not run yet.
    """
    frames = [_load(group, root) for group in groups]
    return pd.concat(frames, ignore_index=True)


@contextmanager
def one_core_processes(n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes, one core each: what a study does must not depend on their number."""
    context = get_context("spawn")
    with ProcessPoolExecutor(n_workers, mp_context=context, initializer=_prepare_worker) as pool:
        yield pool


def _prepare_worker() -> None:
    # Libraries that are imported later read it; those that are loaded need the call below.
    os.environ["OMP_NUM_THREADS"] = "1"
    threadpool_limits(limits=1)
    limit_threads(1)
    # What could not be used of a reply is counted; it need not fill the screen.
    logging.getLogger("llmpso.advisor").setLevel(logging.ERROR)


def _asked(result: StudyResult) -> Row:
    """What a study's language model cost."""
    calls = result.calls
    return {
        "llm_calls": len(calls),
        "llm_invalid": sum(bool(call.problems) for call in calls),
        "llm_tokens": sum(call.prompt_tokens + call.completion_tokens for call in calls),
        "llm_seconds": sum(call.seconds for call in calls),
    }


def _trial_rows(trials: Sequence[Trial], space: SearchSpace) -> Iterator[Row]:
    seen: set[tuple[Any, ...]] = set()
    for trial in trials:
        key = space.key(trial.params)
        yield {
            "number": trial.number,
            "source": str(trial.source),
            "params": json.dumps(dict(trial.params)),
            "value": math.nan if trial.value is None else trial.value,
            "training_seconds": trial.metrics.get("seconds", math.nan),
            "repeated": key in seen,
            "note": trial.note,
        }
        seen.add(key)


def _write(group: StudyGroup, root: Path, study: list[Row]) -> None:
    """One file, whole or not at all."""
    folder = group.folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"seed-{study[0]['seed']}.parquet"
    unfinished = part.with_suffix(".unfinished")
    pd.DataFrame(study).to_parquet(unfinished, index=False)
    unfinished.replace(part)


def _load(group: StudyGroup, root: Path) -> pd.DataFrame:
    missing = group.missing(root)
    if missing:
        raise DataError(
            f"{len(missing)} studies of {group.arm.name!r} on {group.problem.name!r} are not in "
            f"{root}; run the benchmark without report-only"
        )
    parts = [pd.read_parquet(part) for part in sorted(group.folder(root).glob("*.parquet"))]
    trials = pd.concat(parts)
    return trials[trials["seed"].isin(group.seeds)].sort_values(["seed", "number"])
