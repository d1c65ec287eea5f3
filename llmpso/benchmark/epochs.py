"""What a good model costs in epochs: searches with short trainings, without, and Optuna's.

All spend the same number of epochs on the same learning curves. A target counts as reached when a
full training has reached it; the epochs of all trainings up to then are counted.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from llmpso.benchmark.curve_problems import CurveProblem, curves_of
from llmpso.benchmark.epoch_meter import EpochMeter, ReportingMeter
from llmpso.benchmark.pruning_rivals import RIVALS, optuna_study
from llmpso.running.thread_evaluator import ThreadEvaluator
from llmpso.study.build_optimizer import build_optimizer
from llmpso.study.spec import study_spec
from llmpso.study.workers import Batches, LimitedWorkers, Workers

BATCH = 2
"""Trainings that are proposed together, as for two workers."""

OWN_ARMS: dict[str, dict[str, Any]] = {
    "pso": {"method": "pso"},
    "pso racing": {"method": "pso", "racing": True},
    "guided": {"method": "guided", "batch": BATCH, "racing": False},
    "guided stopping": {"method": "guided", "batch": BATCH, "can_pause": False},
    "guided racing": {"method": "guided", "batch": BATCH, "racing": True},
    "guided one at a time": {"method": "guided", "racing": False},
    "guided racing one at a time": {"method": "guided", "racing": True},
}
"""Options of `minimize`; trainings that cannot pause report, and stop for good."""

ARMS = (*OWN_ARMS, *(f"optuna {rival}" for rival in RIVALS))


def run_arms(
    executor: Executor,
    problems: Sequence[CurveProblem],
    seeds: Iterable[int],
    budget: int,
    arms: Sequence[str] = ARMS,
) -> pd.DataFrame:
    """Run each arm on each problem; a row per full training as they end, and one for the end.

    Args:
        executor: Runs the studies.
        problems: The learning curves.
        seeds: Of the studies.
        budget: Full trainings' worth of epochs.
        arms: Names in `ARMS`.
    """
    plans = list(product(problems, arms, seeds))
    studies = executor.map(partial(_study_rows, budget=budget), plans)
    return pd.DataFrame([row for rows in studies for row in rows])


def _study_rows(plan: tuple[CurveProblem, str, int], budget: int) -> list[dict[str, Any]]:
    problem, arm, seed = plan
    curves, scale = curves_of(problem)
    meter = EpochMeter(curves, budget * curves.max_epochs)
    with threadpool_limits(limits=1):
        if arm in OWN_ARMS:
            _own_study(arm, meter, budget, seed)
        else:
            optuna_study(meter, arm.removeprefix("optuna "), seed)
    common: dict[str, Any] = {"family": problem.family, "problem": problem.name, "arm": arm}
    common |= {"seed": seed, "budget": budget}
    common |= {"max_epochs": curves.max_epochs, "target": scale.target}
    ends: list[dict[str, Any]] = [
        end._asdict() | {"regret": scale.regret(end.value)} for end in meter.completed
    ]
    return [common | end for end in (*ends, {"epochs": meter.spent, "seconds": meter.seconds})]


def _own_study(arm: str, meter: EpochMeter, budget: int, seed: int) -> None:
    """The loop of a study; epochs end it, since some trainings end by themselves."""
    options: dict[str, Any] = {"can_pause": True} | OWN_ARMS[arm]
    spec = study_spec(evaluations=budget, seed=seed, **options)
    optimizer = build_optimizer(spec, meter.space, None)
    measured = meter if spec.can_pause else ReportingMeter(meter)
    with TemporaryDirectory() as scratch, ThreadPoolExecutor(1) as pool:
        workers: Workers = Batches(
            ThreadEvaluator(
                measured, spec.race, pool, 1, Path(scratch), lambda trial: None, pauses=spec.pauses
            )
        )
        if (limits := spec.new_limits()) is not None:
            workers = LimitedWorkers(workers, limits)
        while not meter.is_spent and (asked := optimizer.ask(meter.n_left)):
            workers.begin([meter.pool.offered(trial) for trial in asked] if meter.pool else asked)
            optimizer.tell(workers.wait())
