"""The options of `tune`, and the checked plan: invalid options are refused before training."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from mlflow.entities import Dataset

from flows.handover import prepared_once
from flows.storable import check_storable
from llmpso.advisor import Advisor, Task
from llmpso.backends.base import Backend
from llmpso.backends.choose import choose_backend
from llmpso.ensembles.choose import ensembled
from llmpso.errors import SpecError
from llmpso.goals import Goals
from llmpso.objectives.base import DescribedObjective, Resumable, goals_of
from llmpso.objectives.in_process import is_in_process
from llmpso.objectives.registry import ObjectiveSpec, build_objective
from llmpso.options import AllOptions, MemoryOptions, RunOptions
from llmpso.running.core_allocation import CoreAllocation, measured_threads, measured_workers
from llmpso.running.evaluate import Measure
from llmpso.running.fingerprint import Fingerprint, objective_fingerprint
from llmpso.running.runner import cluster_capacity, open_runner
from llmpso.search.optimizer import Optimizer
from llmpso.study.build_optimizer import build_optimizer
from llmpso.study.spec import StudySpec
from llmpso.study.stopping import StopConditions
from llmpso.token_prices import TokenPrice, known_price
from llmpso.trial import FailureKind
from tasks.earlier_studies.find import check_experiments
from tasks.models.registry import Registry
from tasks.records.check_folders import check_folders
from tasks.records.datasets import dataset_of
from tasks.records.own_runs import apart
from tasks.store.experiment import Experiment, open_experiment
from tasks.store.names import experiment_name, model_name


class TuneOptions(AllOptions):
    """What the flow `tune` is given."""

    objective: str = "lstm"
    """What to tune: `lstm` (forecasts a series), `cnn` (tells images apart), `rastrigin` (shifted
    and turned, under a neutral name), `plain-rastrigin`, or `package.module:attribute` for an
    objective or a plain function of yours."""
    register_as: str | None = None
    """Name to register the best model under; the objective's name if not given."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a study needs, checked, with its data loaded and its language model connected."""

    objective_spec: ObjectiveSpec
    objective: DescribedObjective
    fingerprint: Fingerprint
    """Distinguishes values of this objective from those of other code or other data."""
    study: StudySpec
    backend: Backend | None
    advisor_reason: str
    """Which language model is asked, and why this one."""
    temperature: float
    price: TokenPrice | None
    """Of the language model's tokens; None if it is not known."""
    layout: CoreAllocation
    run: RunOptions
    past: MemoryOptions
    """Which earlier studies it learns from."""
    experiment: Experiment
    registry: Registry
    """Registered model that the study is for."""
    dataset: Dataset | None
    """The data as MLflow shows it; None if the objective does not say."""
    registers: bool = True
    """Whether the best model is registered as a version of it when the study ends."""
    retune_run: str = ""
    """MLflow run of the retuning that the study is part of."""
    left_out: tuple[str, ...] = ()
    """Earlier studies that are not used, and why."""

    @property
    def name(self) -> str:
        """Of the study, for people."""
        search = self.study.search
        return f"{self.objective.name} · {search.method} · seed {search.seed}"

    @property
    def goals_record(self) -> dict[str, list[str]]:
        """Several goals, as part of what decides the trials."""
        names = self.study.goals.names
        return {"goals": list(names)} if names else {}

    @property
    def remembers(self) -> bool:
        """Whether it begins from earlier studies, or its language model reads of them."""
        reads = self.study.search.method == "paper" and self.backend is not None
        return self.past.memory == "auto" and (self.study.is_guided or reads)

    @property
    def allowed(self) -> dict[FailureKind, float]:
        """What a training may take, by the failure that more would be."""
        limits = {
            FailureKind.TIMEOUT: self.run.timeout,
            FailureKind.OUT_OF_MEMORY: self.run.max_memory,
        }
        return {kind: limit for kind, limit in limits.items() if limit is not None}

    def laid_out_for(self, n_workers: int) -> Self:
        """The same plan, with batch and swarm for so many workers where they are not named."""
        return replace(self, study=replace(self.study, n_workers=n_workers))

    @property
    def n_workers(self) -> int:
        """Trainings that run at once."""
        return self.layout.n_workers

    def close(self) -> None:
        """Release the language model; it cannot be asked afterwards."""
        if self.backend is not None:
            self.backend.close()

    def open_runner(self, worker_outcomes: Path) -> AbstractContextManager[Measure]:
        """What evaluates the trials; processes write what they measured to a folder."""
        return open_runner(
            self.objective_spec,
            self.run,
            n_workers=self.n_workers,
            n_threads=self.layout.n_threads,
            around=f"{apart.__module__}:{apart.__name__}",
            worker_outcomes=worker_outcomes,
        )

    def advisor(self, through: Callable[[Backend], Backend]) -> Advisor | None:
        """The advisor, asking its backend through a wrapper."""
        if self.backend is None:
            return None
        goals = self.study.goals.names
        task = Task(self.objective.description, self.objective.metric, goals)
        return Advisor(
            through(self.backend),
            task,
            temperature=self.temperature,
            seed=self.study.search.seed,
            price=self.price,
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
    check_storable(options)
    study = StudySpec(options.search, options.stop)
    objective_spec = ObjectiveSpec(options.objective, options.data)
    _check_runner(options)
    layout = _layout(options.run, study)
    study = replace(study, n_workers=layout.n_workers)
    objective = build_objective(objective_spec)
    _check_ensemble(objective, options)
    study = replace(
        study,
        goals=Goals(goals_of(objective), options.data.choose),
        can_pause=_can_pause(objective, options),
    )
    registered = model_name(options.register_as, objective.name)
    experiment = _experiment(options, objective)
    backend, reason = _backend(options)
    plan = Plan(
        objective_spec=objective_spec,
        objective=objective,
        fingerprint=objective_fingerprint(objective, objective_spec.path),
        study=study,
        backend=backend,
        advisor_reason=reason,
        temperature=options.llm.temperature,
        price=options.llm.price or (known_price(backend.identity) if backend else None),
        layout=layout,
        run=options.run,
        past=options.past,
        experiment=experiment,
        registry=Registry(experiment.tracking_uri, registered),
        dataset=dataset_of(objective),
    )
    _check_search(plan)
    return plan


def _experiment(options: TuneOptions, objective: DescribedObjective) -> Experiment:
    """Where the study is recorded; the folders and the experiments that it reads can be used."""
    check_folders()
    name = experiment_name(options.run.experiment, objective.name)
    experiment = open_experiment(name, objective.metric)
    check_experiments(experiment.tracking_uri, options.past.memory_experiments)
    return experiment


def _check_search(plan: Plan) -> None:
    """Build once what proposes and what stops; a plan with which that fails is closed."""
    with ExitStack() as stack:
        stack.callback(plan.close)
        advisor = plan.advisor(lambda backend: backend)
        StopConditions(plan.study.stop, advisor)
        plan.optimizer(advisor)
        stack.pop_all()


def _check_runner(options: TuneOptions) -> None:
    """Refuse to send a function of this process to another one."""
    runner = options.run.runner
    if is_in_process(options.objective) and runner != "thread":
        raise SpecError(
            f"runner is {runner!r}, but the function is in this process only; put it into a "
            "module and tune it as module:function, or use the runner 'thread'"
        )


def _check_ensemble(objective: DescribedObjective, options: TuneOptions) -> None:
    """Refuse an ensemble of models that cannot be averaged, or that would break what is asked."""
    ensemble, data = options.run.ensemble, options.data
    if not ensemble:
        return
    ensembled(objective)
    if goals_of(objective):
        raise SpecError(f"ensemble is {ensemble}, but there are several goals; leave one out")
    for name in ("max_parameters", "max_latency_ms"):
        if getattr(data, name) is not None:
            raise SpecError(
                f"ensemble is {ensemble}, and {name} {getattr(data, name)}: the limit is of one "
                "network, and an ensemble has several; leave one out"
            )


def _can_pause(objective: DescribedObjective, options: TuneOptions) -> bool:
    """Whether trainings can go on later: from checkpoints, which are stored on this machine."""
    if not isinstance(objective, Resumable):
        return False
    if options.run.address is not None and options.search.racing:
        raise SpecError(
            f"address is {options.run.address!r}, and racing is on: trainings go on from "
            "checkpoints, which are stored on this machine; leave one of them out"
        )
    return options.run.address is None


def _layout(run: RunOptions, study: StudySpec) -> CoreAllocation:
    """As asked for; else by a cluster's places, or by what this machine does best."""
    if run.address is not None:
        return CoreAllocation(run.workers or cluster_capacity(run), run.threads or 1)
    n_workers = run.workers or measured_workers()
    n_busy = min(n_workers, replace(study, n_workers=n_workers).n_at_once)
    return CoreAllocation(n_workers, run.threads or measured_threads(n_busy))


def _backend(options: TuneOptions) -> tuple[Backend | None, str]:
    llm = options.llm
    if options.search.method == "pso":
        return None, "none: plain PSO does not use an LLM"
    if llm.advisor == "none":
        return None, "none: the LLM is disabled"
    choice = choose_backend(llm.advisor, model=llm.llm_model, base_url=llm.llm_url)
    return choice.backend, choice.reason
