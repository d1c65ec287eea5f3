"""The options of the benchmark, each described once, and the plan that they are checked into."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from flows.handover import prepared_once
from flows.storable import check_options
from llmpso import benchmark
from llmpso.backends.base import Backend
from llmpso.backends.choose import choose_backend
from llmpso.benchmark.arms import Arm, build_search, find_arm
from llmpso.benchmark.problems import LiveProblem, Problem, suite
from llmpso.benchmark.recorded import RecordedBackend
from llmpso.benchmark.runs import StudyGroup
from llmpso.cores import usable_cores
from llmpso.errors import SpecError
from llmpso.option_group import Options
from tasks.store.experiment import Experiment, open_experiment

PACKAGED_REPLIES = Path(benchmark.__file__).parent / "data" / "benchmark_replies.jsonl.gz"
"""Replies that come with the library: by them anyone can repeat its benchmark."""


ALL_WITHOUT_MODEL = (
    "default-only,random,pso,pso-unique,guided,placebo,surrogate,"
    "optuna-tpe,optuna-gp,optuna-cma,pyswarms"
)

SuiteName = Literal[
    "tables-dev",
    "tables-report",
    "functions",
    "plain-rastrigin",
    "paper",
    "live",
    "curves",
    "goals",
    "memory",
    "repeats",
    "scale",
    "speed",
    "workers",
]


class BenchmarkOptions(Options):
    """What can be asked of the benchmark."""

    suite: SuiteName = "tables-dev"
    """Problems to solve; the tables of `tables-report` are for frozen designs only, and `paper`
    has the paper's three scenarios: Rastrigin, LSTM and CNN. `live` really trains the
    latter two, which takes hours. `curves` counts epochs, with early stopping and without;
    `goals` seeks the front of error and training time, and `memory` measures what earlier
    studies are worth, both in arms of their own. `repeats` chooses the best of noisy trainings in
    several ways. `speed` times all but training, `workers` shows how long studies take with
    several workers, and `scale` how many trainings a second one study gives to many workers of a
    cluster."""
    arms: str = ALL_WITHOUT_MODEL
    """Methods, with commas between; `+default` after a name starts it from a default."""
    problems: str | None = None
    """Those of the suite to solve, with commas between; all if not given. Of `speed`, its
    tables."""
    csv: str | None = None
    """The file `city_day.csv` of air quality in Indian cities, for the LSTM of `live`."""
    lcbench: str | None = None
    """Folder `lcbench` of the public repository yahpo_data, for `curves`, `memory` and
    `workers`."""
    taskset: str | None = None
    """Folder of TaskSet's tasks, JSON files of the public repository of DPL, for `curves`."""
    seeds: Annotated[int, Field(ge=1, le=1_000)] = 20
    """Paired studies per problem and arm, with seeds from 0; repetitions in `speed` and
    `scale`."""
    budget: Annotated[int, Field(ge=1, le=1_000)] = 60
    """Evaluations per study; those of `speed` have so many and ten times as many."""
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    """Processes; as many as there are cores if not given. Results do not depend on it."""
    out: str = "results/benchmark"
    """Folder of trials, tables and figures."""
    report_only: bool = False
    """Make tables and figures again, from the stored trials."""
    advisor: Literal["recorded", "auto", "openai", "ollama", "embedded"] = "recorded"
    """Language model of the arms that ask one; `recorded` replays recorded replies."""
    llm_model: str | None = None
    """Model name for OpenAI or Ollama, or a GGUF file for the embedded one."""
    llm_url: str | None = None
    """Address of a server with OpenAI's protocol (advisor `openai` or `auto`), or of an Ollama
    (advisor `ollama`)."""
    replies: str | None = None
    """File that the model's replies are recorded in, and replayed from; in the results' folder if
    not given, or the library's own for `recorded`."""
    experiment: str = "benchmark"
    """MLflow experiment."""


@dataclass(frozen=True, slots=True)
class BenchmarkPlan:
    """Everything a benchmark needs, checked."""

    suite: str
    groups: tuple[StudyGroup, ...]
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
    check_options(options.model_dump())
    problems, arms = _problems(options), _arms(options.arms)
    root = Path(options.out)
    experiment = open_experiment(options.experiment, "evaluations to the best 1%")
    backend = recorded_model(options) if any(arm.voice.is_model for arm in arms) else None
    for arm in arms:
        build_search(arm, problems[0], 0, backend)
    for problem in problems[1:]:
        problem.objective(0)
    return BenchmarkPlan(
        suite=options.suite,
        groups=tuple(_group(p, a, options, backend) for p in problems for a in arms),
        backend=backend,
        is_live=options.advisor != "recorded",
        root=root,
        n_workers=options.workers or usable_cores(),
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


def check_names(option: str, asked: Sequence[str], known: Sequence[str], hint: str = "") -> None:
    """Check that all names of an option are known.

    Raises:
        SpecError: One is not; the hint says why that may be.
    """
    for name in asked:
        if name not in known:
            allowed = ", ".join(known)
            raise SpecError(f"{option} names {name!r}; it must be one of: {allowed}{hint}")


def _arms(names: str) -> list[Arm]:
    arms = [find_arm(name) for name in names_of(names)]
    if len({arm.name for arm in arms}) < len(arms):
        raise SpecError(f"arms is {names!r}; each may be named once")
    return arms


def _group(
    problem: Problem, arm: Arm, options: BenchmarkOptions, backend: Backend | None
) -> StudyGroup:
    key = arm.key(options.budget, backend.identity if backend else {})
    return StudyGroup(problem, arm, tuple(range(options.seeds)), options.budget, key)


def recorded_model(options: BenchmarkOptions) -> RecordedBackend:
    """The model whose replies are recorded, or the recorded replies."""
    if options.advisor == "recorded":
        return RecordedBackend(Path(options.replies) if options.replies else PACKAGED_REPLIES)
    choice = choose_backend(options.advisor, model=options.llm_model, base_url=options.llm_url)
    path = Path(options.replies) if options.replies else Path(options.out) / "replies.jsonl"
    return RecordedBackend(path, choice.backend)
