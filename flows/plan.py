"""From flat flow parameters to a checked plan: all that can be refused is refused here."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from flows.handover import prepared_once
from flows.storable import check_options
from llmpso.advisor import Advisor, Task
from llmpso.backends.base import Backend
from llmpso.backends.choose import choose_backend
from llmpso.errors import SpecError
from llmpso.limits import Limits
from llmpso.objectives.base import DescribedObjective
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.running.evaluate import Evaluate
from llmpso.running.fingerprint import Fingerprint, objective_fingerprint
from llmpso.running.layout import Layout, measured_threads, measured_workers
from llmpso.running.racing import Racing, check_resumable
from llmpso.running.runner import Runner, cluster_places, evaluator
from llmpso.search.population import Optimizer
from llmpso.study import StudySpec, build_optimizer
from tasks.names import experiment_name, model_name
from tasks.own_runs import apart
from tasks.state import check_folders
from tasks.tracking import open_experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOptions:
    """The parameters of the flow `tune`, which describes them."""

    objective: str
    csv: str | None
    target: str | None
    horizon: int
    where: list[str] | None
    max_missing: float
    time: str | None
    time_format: str | None
    timezone: str | None
    separator: str | None
    decimal: str | None
    encoding: str | None
    images: str | None
    classes: str | None
    dims: int
    space: str
    last: int | None
    space_file: str | None
    evaluations: int
    stop_at: float | None
    patience: int | None
    max_seconds: float | None
    max_llm_calls: int | None
    max_llm_tokens: int | None
    max_failures: int | None
    particles: int | None
    method: str
    topology: str
    warm_up: int
    replaced: int
    batch: int | None
    racing: bool
    decreasing_inertia: bool
    start: list[str] | None
    seed: int
    advisor: str
    llm_model: str | None
    llm_url: str | None
    temperature: float
    workers: int | None
    threads: int | None
    runner: str
    address: str | None
    per_gpu: int | None
    timeout: float | None
    memory: int | None
    resume: bool
    experiment: str | None
    register_as: str | None
    notify: str | None

    def __post_init__(self) -> None:
        """Read the fields of a form."""
        forget_empty_text(self)


def forget_empty_text(options: Any) -> None:
    """Take an optional text that is empty for one that is not given.

    A field of Prefect's form that was filled and emptied again arrives as "".
    """
    for field in fields(options):
        value = getattr(options, field.name)
        if field.type == list[str] | None and value is not None:
            object.__setattr__(
                options, field.name, [text for text in value if text.strip()] or None
            )
        if field.type == str | None and value is not None and not value.strip():
            object.__setattr__(options, field.name, None)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a study needs, checked, with its data loaded and its model at hand."""

    objective_spec: ObjectiveSpec
    objective: DescribedObjective
    fingerprint: Fingerprint
    """What tells values of this objective from those of another code or other data."""
    study: StudySpec
    backend: Backend | None
    advisor_reason: str
    """Which language model is asked, and why this one."""
    temperature: float
    layout: Layout
    runner: Runner
    resume: bool
    """Whether to go on with the same study where it was interrupted."""
    tracking_uri: str
    experiment_id: str
    model_name: str
    """Registered model that the study is for."""
    registers: bool = True
    """Whether the best model becomes a version of it at once."""
    retune_run: str = ""
    """MLflow run of the retuning that the study is part of."""

    @property
    def name(self) -> str:
        """Of the study, for people."""
        return f"{self.objective.name} · {self.study.method} · seed {self.study.seed}"

    def laid_out_for(self, n_workers: int) -> Self:
        """The same plan, with batch and swarm for so many workers where they are not named."""
        return replace(self, study=replace(self.study, n_workers=n_workers))

    @property
    def n_workers(self) -> int:
        """Trainings that run at once."""
        return self.layout.n_workers

    def close(self) -> None:
        """Free the language model; nobody can be asked afterwards."""
        if self.backend is not None:
            self.backend.close()

    def evaluator(self, arrivals: Path) -> AbstractContextManager[Evaluate]:
        """What evaluates the trials; processes write what they measured to a folder."""
        return evaluator(
            self.objective_spec,
            self.runner,
            n_workers=self.n_workers,
            n_threads=self.layout.n_threads,
            around=f"{apart.__module__}:{apart.__name__}",
            arrivals=arrivals,
        )

    def advisor(self, through: Callable[[Backend], Backend]) -> Advisor | None:
        """The advisor, asking its backend through a wrapper."""
        if self.backend is None:
            return None
        task = Task(self.objective.description, self.objective.metric)
        return Advisor(
            through(self.backend), task, temperature=self.temperature, seed=self.study.seed
        )

    def optimizer(self, advisor: Advisor | None) -> Optimizer:
        """The optimizer at its start."""
        return build_optimizer(self.study, self.objective.space, advisor)


@prepared_once
def prepare(options: TuneOptions) -> Plan:
    """Check everything, cheapest first, before anything is trained.

    Raises:
        LLMPSOError: An option, the data, the tracking store or the language model is not usable.
    """
    check_options(asdict(options))
    study = _study_spec(options)
    objective_spec = _objective_spec(options)
    runner = _runner(options)
    layout = _layout(options, runner, study)
    study = replace(study, n_workers=layout.n_workers)
    objective = build_objective(objective_spec)
    if study.racing is not None:
        _check_race(objective, runner)
    registered = model_name(options.register_as, objective.name)
    check_folders()
    tracking_uri, experiment_id = open_experiment(
        experiment_name(options.experiment, objective.name), objective.metric
    )
    backend, reason = _backend(options)
    plan = Plan(
        objective_spec=objective_spec,
        objective=objective,
        fingerprint=objective_fingerprint(objective, objective_spec.name),
        study=study,
        backend=backend,
        advisor_reason=reason,
        temperature=options.temperature,
        layout=layout,
        runner=runner,
        resume=options.resume,
        tracking_uri=tracking_uri,
        experiment_id=experiment_id,
        model_name=registered,
    )
    with ExitStack() as stack:
        stack.callback(plan.close)
        plan.optimizer(plan.advisor(lambda backend: backend))
        stack.pop_all()
    return plan


def _check_race(objective: DescribedObjective, runner: Runner) -> None:
    check_resumable(objective)
    if runner.address is not None:
        raise SpecError(
            f"address is {runner.address!r}, and racing is on: trainings go on from checkpoints, "
            "which lie on this machine; leave one of them out"
        )


def _study_spec(options: TuneOptions) -> StudySpec:
    return StudySpec(
        budget=options.evaluations,
        limits=_limits(options),
        method=options.method,
        n_particles=options.particles,
        seed=options.seed,
        topology=options.topology,
        start=tuple(_start_params(text) for text in options.start or ()),
        warm_up=options.warm_up,
        n_replaced=options.replaced,
        batch_size=options.batch,
        racing=Racing() if options.racing else None,
        decreasing_inertia=options.decreasing_inertia,
    )


def _limits(options: TuneOptions) -> Limits:
    return Limits(
        target=options.stop_at,
        patience=options.patience,
        seconds=options.max_seconds,
        llm_calls=options.max_llm_calls,
        llm_tokens=options.max_llm_tokens,
        failures=options.max_failures,
    )


def _start_params(text: str) -> dict[str, Any]:
    try:
        params = json.loads(text)
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise SpecError(f'start is {text!r}; it must be a JSON object such as {{"layers": 2}}')
    return params


def _objective_spec(options: TuneOptions) -> ObjectiveSpec:
    return ObjectiveSpec(
        name=options.objective,
        csv=options.csv,
        target=options.target,
        horizon=options.horizon,
        where=tuple(options.where or ()),
        max_missing=options.max_missing,
        time=options.time,
        time_format=options.time_format,
        timezone=options.timezone,
        separator=options.separator,
        decimal=options.decimal,
        encoding=options.encoding,
        images=options.images,
        classes=options.classes,
        dims=options.dims,
        space=options.space,
        last=options.last,
        space_file=options.space_file,
    )


def _runner(options: TuneOptions) -> Runner:
    return Runner(
        kind=options.runner,
        address=options.address,
        timeout=options.timeout,
        memory_mb=options.memory,
        per_gpu=options.per_gpu,
    )


def _layout(options: TuneOptions, runner: Runner, study: StudySpec) -> Layout:
    """As asked for; else by a cluster's places, or by what this machine does best."""
    for name in ("workers", "threads"):
        if (asked := getattr(options, name)) is not None and asked < 1:
            raise SpecError(f"{name} is {asked!r}; it must be at least 1")
    if runner.address is not None:
        return Layout(options.workers or cluster_places(runner), options.threads or 1)
    n_workers = options.workers or measured_workers()
    n_busy = min(n_workers, replace(study, n_workers=n_workers).n_at_once)
    return Layout(n_workers, options.threads or measured_threads(n_busy))


def _backend(options: TuneOptions) -> tuple[Backend | None, str]:
    if options.method == "pso":
        return None, "none: plain PSO asks nobody"
    if options.advisor == "none":
        return None, "none, as asked for: the swarm goes alone"
    choice = choose_backend(options.advisor, model=options.llm_model, base_url=options.llm_url)
    return choice.backend, choice.reason
