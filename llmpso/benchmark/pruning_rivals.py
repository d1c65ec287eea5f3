"""Optuna's early stopping on learning curves, as its users write it: report, should_prune."""

import warnings
from typing import Any

from llmpso.benchmark.epoch_meter import EpochMeter
from llmpso.benchmark.rivals import drawn_by_optuna

RIVALS = ("none", "median", "halving", "hyperband", "gp")
"""TPE with each of Optuna's pruners, by short name; and its Gaussian process without one."""


def optuna_study(meter: EpochMeter, rival: str, seed: int) -> None:
    """A sampler with a pruner that looks after every epoch, until the epochs are spent.

    All have their defaults. `halving` is asynchronous successive halving (ASHA).
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    samplers = optuna.samplers
    sampler: Any = samplers.GPSampler if rival == "gp" else samplers.TPESampler
    own = sampler(seed=seed)
    if meter.pool:
        from llmpso.benchmark.choosing_sampler import ChoosingSampler

        own = ChoosingSampler(own, meter.space, meter.pool)
    # Hyperband draws its brackets by the study's name, which is a random one if not given.
    pruner, name = _pruner(rival, meter.max_epochs), f"seed {seed}"
    study = optuna.create_study(study_name=name, sampler=own, pruner=pruner)
    while not meter.is_spent:
        trial = study.ask()
        value = _trained(meter, trial)
        if value is None:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, value)


def _trained(meter: EpochMeter, trial: Any) -> float | None:
    """The value of a full training; None if it was pruned."""
    params, value = drawn_by_optuna(meter.space, trial), 0.0
    training = meter.begin(params)
    for epoch in range(1, meter.max_epochs + 1):
        value, is_final = training.to(epoch)
        trial.report(value, epoch)
        if is_final:
            break
        if trial.should_prune():
            return None
    return value


def _pruner(name: str, max_epochs: int) -> Any:
    from optuna import pruners

    match name:
        case "median":
            return pruners.MedianPruner()
        case "halving":
            return pruners.SuccessiveHalvingPruner()
        case "hyperband":
            return pruners.HyperbandPruner(max_resource=max_epochs)
    return pruners.NopPruner()
