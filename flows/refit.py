"""Champion and challenger, each trained again with several seeds, on the hold-out set."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from flows.display.progress import StudyProgress
from flows.display.terminal import shown_on_terminal
from flows.retune_plan import RetunePlan
from llmpso.errors import LLMPSOError
from llmpso.objectives.base import HeldOut
from llmpso.retuning.degradation import Degradation
from llmpso.retuning.promotion import Rule, Verdict, compare_refits
from llmpso.search.optimizer import trial_seed
from llmpso.space import Params
from llmpso.trial import Source, Trial
from tasks.artifacts import load_model
from tasks.iterate import iterate
from tasks.ledger import Ledger

FIRST_SEED = 1_000_000
"""Refits use seeds of trial numbers that no study reaches, so no model was selected by its
seed."""

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True, slots=True)
class Refit:
    """One training, and its losses on the hold-out set."""

    artifact: str
    """Where its model is stored."""
    value: float
    """Its validation error, by which the best refit is chosen."""
    held_out: HeldOut

    @property
    def error(self) -> float:
        """On the hold-out set, by which nothing is chosen."""
        return self.held_out.error


@dataclass(frozen=True, slots=True)
class Arms:
    """The refits of both configurations; no champion in the first run."""

    champion: tuple[Refit, ...]
    challenger: tuple[Refit, ...]

    @property
    def best(self) -> Refit:
        """The refit of the challenger that would serve."""
        return min(self.challenger, key=lambda refit: refit.value)


def refit_arms(plan: RetunePlan, ledger: Ledger, challenger: Params) -> Arms:
    """Train both configurations with the same seeds on the same data.

    Args:
        plan: Names the champion's configuration.
        ledger: Records the refits as children of the run.
        challenger: The configuration that the study found.

    Raises:
        LLMPSOError: Fewer than two refits of one of them gave a model.
    """
    params = {} if plan.champion is None else {CHAMPION: plan.champion.params}
    params[CHALLENGER] = challenger
    trials = _trials(params, plan)
    trained = _trained(plan, ledger, trials)
    refits = {arm: _measured(plan, arm, trained) for arm in params}
    return Arms(refits.get(CHAMPION, ()), refits[CHALLENGER])


def compare_arms(arms: Arms, rule: Rule) -> Verdict:
    """The verdict on two sets of refits."""
    champion, challenger = (
        [refit.held_out for refit in refits] for refits in (arms.champion, arms.challenger)
    )
    return compare_refits(champion, challenger, rule)


def reason_to_keep(arms: Arms, verdict: Verdict, health: Degradation | None) -> str:
    """Why the champion stays; empty if the challenger is to be promoted."""
    if not verdict.is_win:
        return verdict.reason
    if health is not None and arms.best.error > health.error:
        return (
            "the challenger beats the champion's configuration, yet the model that serves still "
            f"has the lower error on the newest data ({health.error:.4g}, {arms.best.error:.4g})"
        )
    return ""


def _trials(params: dict[str, Params], plan: RetunePlan) -> list[Trial]:
    pairs = [(arm, index) for arm in params for index in range(plan.options.refits)]
    return [
        Trial(
            number=number,
            params=params[arm],
            source=Source.REFIT,
            iteration=0,
            particle=index,
            seed=trial_seed(plan.tune.study.search.seed, FIRST_SEED + index),
            note=arm,
        )
        for number, (arm, index) in enumerate(pairs)
    ]


def _trained(plan: RetunePlan, ledger: Ledger, trials: Sequence[Trial]) -> list[Trial]:
    tune = plan.tune
    progress = StudyProgress(len(trials), tune.objective.metric, get_run_logger())
    done = [found for trial in trials if (found := ledger.answer(trial))]
    for trial in done:
        progress(trial)
    known = {trial.number for trial in done}
    if missing := [trial for trial in trials if trial.number not in known]:
        progress.begin(missing)
        with (
            ThreadPoolTaskRunner[Trial](max_workers=tune.n_workers) as runner,
            tune.open_runner(ledger.worker_outcomes) as measure,
            shown_on_terminal(progress, tune.n_workers),
        ):
            done += iterate(0, missing, measure, ledger, runner, progress)
    ledger.deliver()
    return [ledger.linked(trial) for trial in sorted(done, key=lambda trial: trial.number)]


def _measured(plan: RetunePlan, arm: str, trained: Sequence[Trial]) -> tuple[Refit, ...]:
    """Measure the recorded models: what would serve, read back as it would be."""
    own = [trial for trial in trained if _arm(trial) == arm]
    done = [trial for trial in own if "model" in trial.links]
    if len(done) < 2:
        why = {str(trial.failure.kind) for trial in own if trial.failure} or {"no model"}
        raise LLMPSOError(
            f"{len(done)} of {plan.options.refits} refits of the {arm} gave a model "
            f"({', '.join(sorted(why))}); two are needed to compare: the objective must return "
            "its model, and train it with most seeds"
        )
    objective = plan.tune.objective
    return tuple(
        Refit(
            trial.links["model"],
            float(trial.value or 0.0),
            plan.held_out(load_model(plan.registry.tracking_uri, trial.links["model"], objective)),
        )
        for trial in done
    )


def _arm(trial: Trial) -> str:
    """What a refit is of; its note also says if it was retried."""
    return trial.note.partition(";")[0]
