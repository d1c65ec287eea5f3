"""From the benchmark's flat parameters to a checked plan."""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from flows.handover import prepared_once
from flows.storable import check_options
from llmpso import benchmark
from llmpso.backends.base import Backend
from llmpso.backends.choose import choose_backend
from llmpso.benchmark.arms import Arm, build_search, find_arm
from llmpso.benchmark.problems import LiveProblem, Problem, suite
from llmpso.benchmark.recorded import RecordedBackend
from llmpso.benchmark.runs import Batch
from llmpso.errors import SpecError
from tasks.experiment import Experiment, open_experiment

PACKAGED_REPLIES = Path(benchmark.__file__).parent / "data" / "benchmark_replies.jsonl.gz"
"""Replies that come with the library: by them anyone can repeat its benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkOptions:
    """The parameters of the flow `benchmark`, which describes them."""

    suite: str
    arms: str
    problems: str | None
    csv: str | None
    seeds: int
    budget: int
    workers: int | None
    out: str
    report_only: bool
    advisor: str
    llm_model: str | None
    llm_url: str | None
    replies: str | None
    experiment: str


@dataclass(frozen=True, slots=True)
class BenchmarkPlan:
    """Everything a benchmark needs, checked."""

    suite: str
    batches: tuple[Batch, ...]
    backend: Backend | None
    is_live: bool
    """A model is available; if not, its recorded replies are replayed, if there are any."""
    root: Path
    n_workers: int
    experiment: Experiment

    @property
    def model(self) -> str | None:
        """Name of the language model whose answers are measured."""
        return None if self.backend is None else self.backend.identity.get("model")

    def close(self) -> None:
        """Free the language model."""
        if self.backend is not None:
            self.backend.close()


@prepared_once
def prepare_benchmark(options: BenchmarkOptions) -> BenchmarkPlan:
    """Check everything before anything is run.

    Raises:
        LLMPSOError: A name is unknown, a library is missing, or the model is out of reach.
    """
    check_options(asdict(options))
    problems, arms = _problems(options), _arms(options.arms)
    root = Path(options.out)
    experiment = open_experiment(options.experiment, "evaluations to the best 1%")
    backend = _backend(options, root) if any(arm.voice.is_model for arm in arms) else None
    for arm in arms:
        build_search(arm, problems[0], 0, backend)
    for problem in problems[1:]:
        problem.objective(0)
    return BenchmarkPlan(
        suite=options.suite,
        batches=tuple(_batch(p, a, options, backend) for p in problems for a in arms),
        backend=backend,
        is_live=options.advisor != "recorded",
        root=root,
        n_workers=options.workers or os.cpu_count() or 1,
        experiment=experiment,
    )


def _problems(options: BenchmarkOptions) -> tuple[Problem, ...]:
    found = suite(options.suite, names_of(options.problems))
    return tuple(
        replace(problem, csv=options.csv) if isinstance(problem, LiveProblem) else problem
        for problem in found
    )


def names_of(listed: str | None) -> list[str]:
    """What is listed with commas between; nothing if not given."""
    return [] if listed is None else [name.strip() for name in listed.split(",")]


def _arms(names: str) -> list[Arm]:
    arms = [find_arm(name) for name in names_of(names)]
    if len({arm.name for arm in arms}) < len(arms):
        raise SpecError(f"arms is {names!r}; each may be named once")
    return arms


def _batch(
    problem: Problem, arm: Arm, options: BenchmarkOptions, backend: Backend | None
) -> Batch:
    key = arm.key(options.budget, backend.identity if backend else {})
    return Batch(problem, arm, tuple(range(options.seeds)), options.budget, key)


def _backend(options: BenchmarkOptions, root: Path) -> Backend:
    """The model whose replies are recorded, or the recorded replies."""
    if options.advisor == "recorded":
        return RecordedBackend(Path(options.replies) if options.replies else PACKAGED_REPLIES)
    choice = choose_backend(options.advisor, model=options.llm_model, base_url=options.llm_url)
    path = Path(options.replies) if options.replies else root / "replies.jsonl"
    return RecordedBackend(path, choice.backend)
