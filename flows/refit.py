"""Champion and challenger, each trained again with several seeds, on the hold-out set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from prefect import get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from flows.display.progress import StudyProgress
from flows.display.terminal import shown_on_terminal
from flows.retune_plan import RetunePlan
from llmpso.ensembles.choose import ensembled, loss_of
from llmpso.ensembles.outcome import Member
from llmpso.errors import LLMPSOError
from llmpso.goals import KNEE, Goals
from llmpso.objectives.averaged import average
from llmpso.objectives.held_out import HeldOut
from llmpso.retuning.degradation import Degradation
from llmpso.retuning.promotion import Rule, Verdict, compare_refits
from llmpso.search.archive import trial_seed
from llmpso.space import Params
from llmpso.trial import Source, Trial
from tasks.iterate import iterate
from tasks.models.artifacts import load_member, load_model
from tasks.records.ensembles import ensemble_trial
from tasks.records.ledger import Ledger

FIRST_SEED = 1_000_000
"""Refits use seeds of trial numbers that no study reaches, so no model was selected by its
seed."""

PER_MEMBER = 1_000
"""Seeds for the refits of one member of an ensemble."""

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True, slots=True)
class Refit:
    """One training, or one of each member of an ensemble, and the losses on the hold-out set."""

    trial: Trial
    """Of an ensemble not recorded: its parameters are the weights, its value is measured."""
    held_out: HeldOut
    members: tuple[Member, ...] = ()
    """Of an ensemble, with the numbers of their trainings."""
    model: Any = None
    """The ensemble."""

    @property
    def values(self) -> Mapping[str, float]:
        """Of several goals, by name; empty if there is one."""
        return self.trial.values

    @property
    def params(self) -> Params:
        """Of its training; of an ensemble those of its first member."""
        return self.members[0].params if self.members else self.trial.params

    @property
    def value(self) -> float:
        """Its validation error, by which the best refit is chosen."""
        return float(self.trial.value or 0.0)

    @property
    def error(self) -> float:
        """On the hold-out set, by which nothing is chosen."""
        return self.held_out.error


@dataclass(frozen=True, slots=True)
class Arms:
    """The refits of both configurations.

    No champion in the first run; no challenger if the study found the champion's configuration.
    """

    champion: tuple[Refit, ...]
    challenger: tuple[Refit, ...]

    goals: Goals = Goals()

    @property
    def best(self) -> Refit:
        """The refit of the challenger that would serve."""
        within = [refit for refit in self.challenger if self.goals.is_within(refit.values)]
        return min(within or self.challenger, key=lambda refit: refit.value)

    @property
    def refresh(self) -> "Arms":
        """The refits of the champion's configuration, one of which would serve."""
        return Arms((), self.champion, self.goals)

    @property
    def others(self) -> list[tuple[str, list[float], list[float]]]:
        """The goals beside the error, with the values of the champion's refits and the others'."""
        return [
            (name, _values(self.champion, name), _values(self.challenger, name))
            for name in self.goals.names[1:]
        ]

    @property
    def champion_over_limit(self) -> str:
        """How the champion exceeds it in every refit: noise alone may lift a mean over it."""
        within = (self.goals.is_within(refit.values) for refit in self.champion)
        return "" if any(within) else self.over_limit(self.champion)

    def over_limit(self, refits: Sequence[Refit]) -> str:
        """How refits exceed, on average, the limit by which a trial is chosen; empty if not."""
        means = {name: fmean(_values(refits, name)) for name in self.goals.names}
        if not means or self.goals.is_within(means):
            return ""
        shown = ", ".join(f"{name} {mean:.4g}" for name, mean in means.items())
        return f"is not within {self.goals.choose!r} ({shown})"


def _values(refits: Sequence[Refit], name: str) -> list[float]:
    return [refit.values[name] for refit in refits]


def refit_arms(plan: RetunePlan, ledger: Ledger, challenger: Sequence[Member]) -> Arms:
    """Train both configurations with the same seeds on the same data; of ensembles each member.

    Args:
        plan: Names the champion's configurations.
        ledger: Records the refits as children of the run.
        challenger: The configuration that the study found, or those of its ensemble; none if it is
            the champion's.

    Raises:
        LLMPSOError: Fewer than two refits of one of them gave a model.
    """
    arms = {} if plan.champion is None else {CHAMPION: plan.champion.configurations}
    arms |= {CHALLENGER: tuple(challenger)} if challenger else {}
    trials = _trials(arms, plan)
    trained = _trained(plan, ledger, trials)
    # Not by the notes of what was trained: before a kill it may have been for the other arm.
    own = {arm: {trial.number for trial in trials if trial.note == arm} for arm in arms}
    refits = {
        arm: _measured(plan, arm, members, [t for t in trained if t.number in own[arm]])
        for arm, members in arms.items()
    }
    return Arms(refits.get(CHAMPION, ()), refits.get(CHALLENGER, ()), plan.tune.study.goals)


def compare_arms(arms: Arms, rule: Rule) -> Verdict:
    """The verdict on two sets of refits.

    Of several goals it is on their product where the knee of their front is chosen, and on the
    error where the lowest one within a limit is.
    """
    champion, challenger = (
        [refit.held_out for refit in refits] for refits in (arms.champion, arms.challenger)
    )
    is_product = bool(arms.goals) and arms.goals.choose == KNEE
    return compare_refits(champion, challenger, rule, arms.others, is_product=is_product)


def compare_with_serving(plan: RetunePlan, refresh: Arms) -> Verdict:
    """The verdict on refits of the champion's configuration beside the very model that serves.

    By the error alone: the configuration is the same, and so are its further goals.
    """
    if plan.serving_losses is None:
        raise RuntimeError("no model serves that the refits could be compared with")
    losses = [refit.held_out for refit in refresh.challenger]
    return compare_refits(plan.serving_losses, losses, plan.options.rule)


def reason_to_keep(arms: Arms, verdict: Verdict, health: Degradation | None) -> str:
    """Why the champion stays; empty if the challenger is to be promoted."""
    if over := arms.over_limit(arms.challenger):
        return f"the challenger {over}"
    if arms.champion_over_limit:
        return ""
    if not verdict.is_win:
        return verdict.reason
    if health is not None and arms.best.error > health.error and not verdict.is_product:
        return (
            "the challenger beats the champion's configuration, yet the model that serves still "
            f"has the lower error on the newest data ({health.error:.4g}, {arms.best.error:.4g})"
        )
    return ""


def reason_not_to_refresh(refresh: Arms, verdict: Verdict) -> str:
    """Why the model that serves stays; empty if the best refit is to serve."""
    if over := refresh.over_limit(refresh.challenger):
        return f"the champion's configuration, trained again on the newest data, {over}"
    if not verdict.is_win:
        return verdict.reason
    if refresh.best.error >= verdict.champion_error:
        return (
            "the champion's configuration, trained again on the newest data, is better on "
            "average, yet the refit that would serve is not "
            f"(error {refresh.best.error:.4g} against {verdict.champion_error:.4g})"
        )
    return ""


def reason_to_promote(arms: Arms, verdict: Verdict) -> str:
    """Why the challenger replaces the champion."""
    over = arms.champion_over_limit
    return f"the champion {over}, the challenger is" if over else verdict.reason


def _trials(arms: Mapping[str, Sequence[Member]], plan: RetunePlan) -> list[Trial]:
    each = [
        (arm, index, place, member)
        for arm, members in arms.items()
        for index in range(plan.options.refits)
        for place, member in enumerate(members)
    ]
    return [
        Trial(
            number=number,
            params=member.params,
            source=Source.REFIT,
            iteration=0,
            particle=index,
            seed=trial_seed(plan.tune.study.search.seed, FIRST_SEED + PER_MEMBER * place + index),
            note=arm,
            goals=plan.tune.study.goals.names,
        )
        for number, (arm, index, place, member) in enumerate(each)
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
            # Else Prefect's page would show a second `iteration 0`.
            refits = iterate.with_options(task_run_name="refits")
            done += refits(0, missing, measure, ledger, runner, progress)
    ledger.deliver()
    return [ledger.linked(trial) for trial in sorted(done, key=lambda trial: trial.number)]


def _measured(
    plan: RetunePlan, arm: str, members: Sequence[Member], own: Sequence[Trial]
) -> tuple[Refit, ...]:
    """Measure the recorded models: what would serve, read back as it would be."""
    by_seed = [[t for t in own if t.particle == index] for index in range(plan.options.refits)]
    done = [trials for trials in by_seed if all("model" in trial.links for trial in trials)]
    if len(done) < 2:
        why = {str(trial.failure.kind) for trial in own if trial.failure} or {"no model"}
        raise LLMPSOError(
            f"{len(done)} of {plan.options.refits} refits of the {arm} gave a model "
            f"({', '.join(sorted(why))}); two are needed to compare: the objective must return "
            "its model, and train it with most seeds"
        )
    return tuple(_refit(plan, members, trials) for trials in done)


def _refit(plan: RetunePlan, members: Sequence[Member], trials: Sequence[Trial]) -> Refit:
    """The trainings of one seed, measured: one, or those of all members, averaged."""
    objective, uri = plan.tune.objective, plan.registry.tracking_uri
    if len(trials) == 1:
        model = load_model(uri, trials[0].links["model"], objective)
        return Refit(trials[0], plan.held_out(model))
    models = [load_member(uri, trial.links["model"], objective) for trial in trials]
    pairs = zip(members, trials, strict=True)
    own = tuple(replace(member, number=trial.number) for member, trial in pairs)
    model = average(models, [member.weight for member in own])
    value = loss_of(ensembled(objective), model)
    return Refit(ensemble_trial(own, value), plan.held_out(model), own, model)
