"""From flat flow parameters to a checked plan of a retuning, with the champion at hand."""

from dataclasses import dataclass, fields, replace
from inspect import signature
from typing import Any

from flows.plan import Plan, TuneOptions, forget_empty_text, prepare
from flows.tune import tune
from llmpso.errors import DataError, SpecError
from llmpso.objectives.base import Judged, Watched
from llmpso.retuning.drift import check_schema, n_rows_since
from llmpso.retuning.promotion import Rule
from llmpso.retuning.warm_start import pooled_history
from tasks.registry import Champion, check_registered, find_champion, known_trials, load_model


@dataclass(frozen=True, slots=True, kw_only=True)
class RetuneOptions:
    """The parameters of the flow `retune` that are not passed on to `tune`."""

    model: str | None
    when: str
    refits: int
    margin: float
    confidence: float
    min_new_rows: int
    notify: str | None

    def __post_init__(self) -> None:
        """Read the fields of a form."""
        forget_empty_text(self)


@dataclass(frozen=True, slots=True)
class RetunePlan:
    """Everything a retuning needs, checked, with the champion loaded."""

    tune: Plan
    """The study, warm-started."""
    champion: Champion | None
    serving: Any
    """The model that serves; None in the first run."""
    rule: Rule
    when: str
    n_refits: int
    notify: str | None

    @property
    def name(self) -> str:
        """The registered model."""
        return self.tune.model_name


def prepare_retune(arguments: dict[str, Any]) -> RetunePlan:
    """Check everything before anything is trained; `arguments` are those of the flow.

    Raises:
        LLMPSOError: An option, the data, the champion or the store is not usable.
    """
    own = {field.name for field in fields(RetuneOptions)}
    options = RetuneOptions(**{name: arguments[name] for name in own})
    rule = Rule(options.margin, options.confidence)
    study = {name: value for name, value in arguments.items() if name not in own}
    plan = prepare(TuneOptions(**(_defaults() | study | {"register_as": options.model})))
    # What an interrupted run measured may be of older data, unless the objective tells.
    plan = replace(plan, resume=hasattr(plan.objective, "fingerprint"))
    _check_objective(plan.objective)
    if plan.model_name != plan.objective.name:
        check_registered(plan.tracking_uri, plan.model_name)
    champion = find_champion(plan.tracking_uri, plan.model_name, plan.objective.space)
    if champion is not None:
        _check_data(plan.objective, champion, options.min_new_rows)
    return RetunePlan(
        tune=_warm_started(plan, champion),
        champion=champion,
        serving=None if champion is None else load_model(plan.tracking_uri, champion.uri),
        rule=rule,
        when=options.when,
        n_refits=options.refits,
        notify=options.notify,
    )


def _defaults() -> dict[str, Any]:
    """What `tune` takes for all that a retuning does not name."""
    return {name: p.default for name, p in signature(tune.fn).parameters.items()}


def _check_objective(objective: object) -> None:
    if not isinstance(objective, Judged):
        raise SpecError(
            f"objective {type(objective).__name__} has no held_out(model): a new model could only "
            "be judged by the data it was chosen by; return its losses on other, newer data there"
        )


def _check_data(objective: object, champion: Champion, min_new_rows: int) -> None:
    """Refuse data with another schema than the champion's, or with too little that is new."""
    if not isinstance(objective, Watched) or champion.reference is None:
        return
    check_schema(champion.reference, objective.frame)
    n_new = n_rows_since(objective.frame, champion.reference.until)
    if n_new < min_new_rows:
        raise DataError(
            f"there are {n_new} rows since {champion.reference.until}, up to which champion "
            f"{champion.name} version {champion.version} was tuned; at least "
            f"{min_new_rows} are asked for: is the data still coming in? (--min-new-rows)"
        )


def _warm_started(plan: Plan, champion: Champion | None) -> Plan:
    """The same study, beginning with what is known."""
    space, is_guided = plan.objective.space, plan.study.method == "guided"
    earlier = known_trials(plan.tracking_uri, plan.experiment_id, plan.model_name, space)
    study = replace(
        plan.study,
        start=() if champion is None else (champion.params,),
        history=pooled_history(earlier) if is_guided else (),
    )
    warm = replace(plan, study=study, registers=False)
    warm.optimizer(None)
    return warm
