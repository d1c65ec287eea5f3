"""From flat flow parameters to a checked plan of a retuning, with the champion at hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from inspect import signature
from typing import Any

from flows.plan import Plan, TuneOptions, forget_empty_text, prepare
from flows.storable import check_options
from flows.tune import tune
from flows.turns import only_run
from llmpso.errors import DataError, SpecError
from llmpso.objectives.base import Judged, Watched
from llmpso.retuning.drift import check_schema, n_rows_since
from llmpso.retuning.promotion import Rule
from llmpso.retuning.warm_start import pooled_history
from llmpso.running.fingerprint import digest
from tasks.artifacts import load_model
from tasks.champion import Champion, champion_lost, find_champion
from tasks.names import model_name
from tasks.registry import (
    check_registered,
    known_trials,
    promoted_by_run,
    store_answers,
)
from tasks.studies import StudyIdentity, close_left_open


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
    warnings: tuple[str, ...]
    """What people should know of the champion: that it is gone, or its data."""
    rule: Rule
    when: str
    n_refits: int
    min_new_rows: int
    notify: str | None

    @property
    def name(self) -> str:
        """The registered model."""
        return self.tune.model_name

    @property
    def serves(self) -> str:
        """The version that serves; empty if none does."""
        return self.champion.version if self.champion and self.champion.serves else ""

    @property
    def identity(self) -> StudyIdentity:
        """By which the same retuning goes on after it was interrupted."""
        tune, fingerprint = self.tune, self.tune.fingerprint.text
        return StudyIdentity(
            tracking_uri=tune.tracking_uri,
            experiment_id=tune.experiment_id,
            key=digest(self._decisive() | {"fingerprint": fingerprint}),
            fingerprint=fingerprint,
            name=f"retune {self.name}",
            params=self._params() | {"history": len(tune.study.history)},
            tags={"retunes": self.name},
        )

    def _params(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "when": self.when,
            "refits": self.n_refits,
            "margin": self.rule.margin,
            "confidence": self.rule.confidence,
            "champion": self.champion.version if self.champion else "none",
            "serves": self.serves or "none",
        }

    def _decisive(self) -> dict[str, Any]:
        """What decides what comes out, code and data aside.

        Not what earlier studies found: the retuning's own study is one of them once it has ended.
        """
        tune = self.tune
        return self._params() | {
            "study": asdict(replace(tune.study, history=())),
            "objective": tune.objective.name,
            "space": repr(tune.objective.space),
            "llm": dict(tune.backend.identity) if tune.backend else {},
            "temperature": tune.temperature,
        }


@contextmanager
def locked_plan(arguments: dict[str, Any]) -> Iterator[RetunePlan]:
    """A checked plan, and the model's lock for the length of the block.

    The champion is read once no other run can change it any more. What dead runs left open is
    brought to an end.

    Raises:
        LLMPSOError: An option, the data, the champion or the store is not usable.
        BusyModelError: Another run retunes the model, or rolls it back.
    """
    options, tune = _prepared(arguments)
    with store_answers(tune.tracking_uri, tune.model_name), only_run(tune.model_name):
        found = _compared(options, tune)
        close_left_open(found.identity, promoted_by_run(tune.tracking_uri, found.name))
        _check_data(found)
        yield found


def check_retune(arguments: dict[str, Any]) -> None:
    """Check everything as a run would find it at this moment; `arguments` are those of the flow.

    Raises:
        LLMPSOError: It could not begin.
    """
    with locked_plan(arguments):
        pass


def _prepared(arguments: dict[str, Any]) -> tuple[RetuneOptions, Plan]:
    """The parameters of a retuning, and its study, as they are known without the champion."""
    own = {field.name for field in fields(RetuneOptions)}
    options = RetuneOptions(**{name: arguments[name] for name in own})
    check_options(arguments)
    model_name(options.model, "", "model")
    Rule(options.margin, options.confidence)
    study = {name: value for name, value in arguments.items() if name not in own}
    plan = prepare(TuneOptions(**(_defaults() | study | {"register_as": options.model})))
    _check_objective(plan.objective)
    if plan.model_name != model_name(None, plan.objective.name):
        check_registered(plan.tracking_uri, plan.model_name)
    # What an interrupted run measured may be of older data, unless the objective tells.
    return options, replace(plan, resume=plan.fingerprint.covers_data)


def _compared(options: RetuneOptions, study: Plan) -> RetunePlan:
    """The plan, with what the new model is compared with."""
    uri, name = study.tracking_uri, study.model_name
    champion = find_champion(uri, name, study.objective.space)
    return RetunePlan(
        tune=_warm_started(study, champion),
        champion=champion,
        serving=None if champion is None else load_model(uri, champion.uri, study.objective),
        warnings=_warnings(study, champion),
        rule=Rule(options.margin, options.confidence),
        when=options.when,
        n_refits=options.refits,
        min_new_rows=options.min_new_rows,
        notify=options.notify,
    )


def _warnings(study: Plan, champion: Champion | None) -> tuple[str, ...]:
    lost = champion_lost(study.tracking_uri, study.model_name)
    found = [lost] if lost else []
    if champion and champion.reference is None and isinstance(study.objective, Watched):
        found.append(
            f"the data that version {champion.version} was tuned on is not on record: neither "
            "its drift nor how many rows are new can be told"
        )
    return tuple(found)


def _defaults() -> dict[str, Any]:
    """What `tune` takes for all that a retuning does not name."""
    return {name: p.default for name, p in signature(tune.fn).parameters.items()}


def _check_objective(objective: object) -> None:
    if not isinstance(objective, Judged):
        raise SpecError(
            f"objective {type(objective).__name__} has no held_out(model): a new model could only "
            "be judged by the data it was chosen by; return its losses on other, newer data there"
        )


def _check_data(plan: RetunePlan) -> None:
    """Refuse data with another schema than the champion's, or with too little that is new."""
    objective, champion = plan.tune.objective, plan.champion
    if not isinstance(objective, Watched) or champion is None or champion.reference is None:
        return
    check_schema(champion.reference, objective.frame)
    n_new = n_rows_since(objective.frame, champion.reference.until)
    if n_new < plan.min_new_rows:
        raise DataError(
            f"there are {n_new} rows since {champion.reference.until}, up to which champion "
            f"{champion.name} version {champion.version} was tuned; at least "
            f"{plan.min_new_rows} are asked for: is the data still coming in? (--min-new-rows)"
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
