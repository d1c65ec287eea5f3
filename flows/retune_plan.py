"""From options to a checked plan of a retuning, with the champion loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from flows.tune_plan import Plan, TuneOptions, prepare
from llmpso.ensembles.choose import ensembled
from llmpso.errors import ANOTHER_MODEL, DataError, SpecError
from llmpso.objectives.base import SupportsDrift, SupportsHoldOut
from llmpso.objectives.held_out import HeldOut
from llmpso.options import AllOptions, ScheduledLLMOptions, Share
from llmpso.retuning.drift import check_schema, n_rows_since, named_label, new_columns
from llmpso.retuning.promotion import Rule
from llmpso.running.fingerprint import digest
from llmpso.search.initial import validated
from llmpso.study.stopping import Foresight
from llmpso.text import brief, one_line, plural
from tasks.models.artifacts import load_model
from tasks.models.find_champion import Champion, champion_lost, find_champion
from tasks.models.registry import Registry
from tasks.records.run_source import source_tags
from tasks.records.studies import StudyIdentity, close_left_open
from tasks.store.names import model_name


class RetuneOptions(AllOptions):
    """What the flow `retune` is given."""

    objective: str = "lstm"
    """What to tune: `lstm`, `cnn`, or `package.module:attribute` of yours."""
    model: str | None = None
    """Registered model; the objective's name if not given."""
    when: Literal["always", "drift", "degraded"] = "always"
    """Tune `always`, only after `drift` of a column, or only once the champion's own error has
    `degraded`."""
    predictions: str = "predictions"
    """MLflow experiment with what the champion predicted in production (`llmpso predict`)."""
    min_new_rows: Annotated[int, Field(ge=0)] = 1
    """Rows that must be newer than the champion's; with fewer the run fails."""
    refits: Annotated[int, Field(ge=2, le=100)] = 5
    """Seeds with which challenger and champion are each trained again to compare them."""
    margin: Share = 0.01
    """Share by which the challenger's error must be lower to be promoted: 0.01 is 1 %."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Confidence that is needed for a promotion: 0.95 is 95 %."""
    llm: ScheduledLLMOptions = ScheduledLLMOptions()

    @property
    def rule(self) -> Rule:
        """When a challenger is better."""
        return Rule(self.margin, self.confidence)

    @property
    def study(self) -> TuneOptions:
        """What the study of the retuning is given."""
        return TuneOptions(
            objective=self.objective,
            data=self.data,
            search=self.search,
            past=self.past,
            stop=self.stop,
            llm=self.llm,
            run=self.run,
            register_as=self.model,
        )


@dataclass(frozen=True, slots=True)
class RetunePlan:
    """Everything a retuning needs, checked, with the champion loaded."""

    tune: Plan
    """The study, warm-started."""
    champion: Champion | None
    serving: Any
    """The model that serves; None in the first run."""
    serving_losses: HeldOut | None
    """Its losses on the hold-out set; None in the first run."""
    warnings: tuple[str, ...]
    """What people should know: that the champion is gone, or its data was not recorded."""
    options: RetuneOptions

    @property
    def registry(self) -> Registry:
        """The registered model."""
        return self.tune.registry

    @property
    def name(self) -> str:
        """Of the registered model."""
        return self.registry.name

    @property
    def serves(self) -> str:
        """The version that serves; empty if none does."""
        return self.champion.version if self.champion and self.champion.serves else ""

    @property
    def identity(self) -> StudyIdentity:
        """By which the same retuning is resumed after it was interrupted."""
        tune, fingerprint = self.tune, self.tune.fingerprint.text
        return StudyIdentity(
            experiment=tune.experiment,
            key=digest(self._decisive() | {"fingerprint": fingerprint}),
            fingerprint=fingerprint,
            name=f"retune {self.name}",
            params=self._params(),
            tags={"retunes": self.name},
            origin=source_tags(tune.objective, tune.objective_spec.name),
            dataset=tune.dataset,
            allowed=tune.allowed,
        )

    def held_out(self, model: Any) -> HeldOut:
        """The losses of a model on the hold-out set, by which nothing is chosen.

        Raises:
            DataError: One is below 0: models are compared by the shares of their errors.
        """
        found = HeldOut.of(_with_hold_out(self.tune.objective).held_out(model))
        if (least := found.losses.min()) < 0:
            raise DataError(
                f"held_out(model) returned {least:.4g}; a loss is 0 or more, and lower is better: "
                "of an accuracy, return what is wrong"
            )
        return found

    def _params(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "when": self.options.when,
            "refits": self.options.refits,
            "margin": self.options.margin,
            "confidence": self.options.confidence,
            "champion": self.champion.version if self.champion else "none",
            "serves": self.serves or "none",
        }

    def _decisive(self) -> dict[str, Any]:
        """What decides the result, besides code and data.

        Not what earlier studies found: the retuning's own study is one of them once it has ended.
        """
        tune = self.tune
        return (
            self._params()
            | {
                "search": tune.study.search.model_dump(),
                "memory": tune.past.model_dump(),
                "stop": tune.study.stop.model_dump(),
                "workers": tune.study.n_workers,
                "objective": tune.objective.name,
                "space": repr(tune.objective.space),
                "llm": dict(tune.backend.identity) if tune.backend else {},
                "temperature": tune.temperature,
                "ensemble": tune.run.ensemble,
            }
            | {name: [*own, tune.study.goals.choose] for name, own in tune.goals_record.items()}
        )


@contextmanager
def locked_plan(options: RetuneOptions) -> Iterator[RetunePlan]:
    """A checked plan, and the model's lock for the length of the block.

    The champion is read once no other run can change it any more. What runs of killed processes
    left open is closed.

    Raises:
        LLMPSOError: An option, the data, the champion or the store is not usable.
        BusyModelError: Another run retunes the model, or rolls it back.
    """
    tune = _prepared(options)
    with tune.registry.explained_errors(), tune.registry.retuning_lock():
        plan = _with_champion(options, tune)
        close_left_open(plan.identity, plan.registry.promoted_by_run())
        _check_data(plan)
        yield replace(plan, serving_losses=_serving_losses(plan))


def check_retune(options: RetuneOptions) -> None:
    """Check everything as a run would find it at this moment.

    Raises:
        LLMPSOError: It could not begin.
    """
    with locked_plan(options):
        pass


def _prepared(options: RetuneOptions) -> Plan:
    """The study of a retuning, as it is known without the champion."""
    model_name(options.model, "", "model")
    plan = prepare(options.study)
    _with_hold_out(plan.objective)
    if plan.registry.name != model_name(None, plan.objective.name):
        plan.registry.check_exists()
    # An interrupted run may have measured on older data, unless the fingerprint covers the data.
    is_fresh = plan.run.fresh or not plan.fingerprint.covers_data
    return replace(plan, run=plan.run.model_copy(update={"fresh": is_fresh}))


def _with_champion(options: RetuneOptions, study: Plan) -> RetunePlan:
    """The plan, with the model that a new one is compared with."""
    registry, objective = study.registry, study.objective
    champion = find_champion(registry, objective.space)
    if champion is not None and champion.members:
        ensembled(objective)
    serving = champion and load_model(registry.tracking_uri, champion.uri, objective)
    tune = _warm_started(study, champion)
    if champion is not None:
        again = Foresight.again(options.margin)
        tune = replace(tune, study=replace(tune.study, foresight=again))
    return RetunePlan(
        tune=tune,
        champion=champion,
        serving=serving,
        serving_losses=None,
        warnings=_warnings(study, champion),
        options=options,
    )


def _warnings(study: Plan, champion: Champion | None) -> tuple[str, ...]:
    lost = champion_lost(study.registry)
    found = [lost] if lost else []
    if champion and champion.reference is None and isinstance(study.objective, SupportsDrift):
        found.append(
            f"the data that version {champion.version} was tuned on was not recorded: neither its "
            "drift nor the number of new rows can be found"
        )
    return (*found, *_new_inputs(study.objective, champion))


def _new_inputs(objective: object, champion: Champion | None) -> list[str]:
    """What is to be said of columns that the champion does not know."""
    if not isinstance(objective, SupportsDrift) or not champion or not champion.reference:
        return []
    if not (new := new_columns(champion.reference, objective.frame)):
        return []
    what = f"{plural(len(new), 'column is', 'columns are')} new: {brief(', '.join(new))}"
    return [
        f"{what}; version {champion.version} does not know what is new, and a version that "
        "replaces it may need it in each request"
    ]


def _with_hold_out(objective: object) -> SupportsHoldOut:
    """An objective that has a hold-out set.

    Raises:
        SpecError: It has none.
    """
    if not isinstance(objective, SupportsHoldOut):
        raise SpecError(
            f"objective {type(objective).__name__} has no held_out(model): a new model could only "
            "be measured on data that it was chosen by; return its losses on newer data there"
        )
    return objective


def _check_data(plan: RetunePlan) -> None:
    """Refuse data with another schema than the champion's, or with too little that is new."""
    objective, champion = plan.tune.objective, plan.champion
    if not isinstance(objective, SupportsDrift) or champion is None or champion.reference is None:
        return
    check_schema(champion.reference, objective.frame)
    least = plan.options.min_new_rows
    n_new = n_rows_since(objective.frame, champion.reference.until)
    if n_new < least:
        are = "is" if n_new == 1 else "are"
        raise DataError(
            f"there {are} {plural(n_new, 'row')} since {named_label(champion.reference.until)}, "
            f"up to which champion {champion.name} version {champion.version} was tuned; at least "
            f"{least:,} are asked for: is the data still coming in? (--min-new-rows)"
        )


def _serving_losses(plan: RetunePlan) -> HeldOut | None:
    """The losses of the model that serves; None in the first run.

    Raises:
        DataError: It cannot be measured on the newest data.
    """
    if plan.champion is None:
        return None
    try:
        return plan.held_out(plan.serving)
    except Exception as error:  # A user's objective may refuse its data in any way.
        other = f"{one_line(repr(error))}; correct the data or held_out(model)"
        what = str(error) if isinstance(error, DataError) else other
        raise DataError(
            f"champion {plan.name} version {plan.champion.version} cannot be measured on the "
            f"newest data: {what}, or {ANOTHER_MODEL}"
        ) from error


def _warm_started(plan: Plan, champion: Champion | None) -> Plan:
    """The same study, beginning with the user's configurations, then with the champion's."""
    search = plan.study.search
    own = _startable(plan, champion, search.start) if champion else ()
    begins = search.model_copy(update={"start": search.start + own})
    warm = replace(plan, study=replace(plan.study, search=begins), registers=False)
    warm.optimizer(None)
    return warm


def _startable(
    plan: Plan, champion: Champion, given: tuple[dict[str, Any], ...]
) -> tuple[dict[str, Any], ...]:
    """The champion's configurations that can begin the study beside those that are given."""
    space = plan.objective.space
    seen = {space.key(params) for params in validated(space, "start", given)}
    found: list[dict[str, Any]] = []
    for each in champion.configurations:
        params = dict(each.params)
        if space.key(params) not in seen and not space.violated(params):
            seen.add(space.key(params))
            found.append(params)
    # Those of least weight are left out: a larger swarm would make it another search.
    return tuple(found[: max(0, plan.study.swarm_size - len(given))])
