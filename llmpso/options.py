"""What can be asked of a study: six groups of options, each described and checked here once.

The command line, the parameters and the form of the Prefect flows, the deployments, `tune`,
`retune` and `minimize` all read these classes: an option is added in one place.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from llmpso.errors import SpecError
from llmpso.option_group import Configurations, Options, Texts
from llmpso.resources import parsed_resources
from llmpso.text import did_you_mean, plural
from llmpso.token_prices import TokenPrice

AtLeast1 = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
MethodName = Literal["guided", "paper", "pso"]
SpaceName = Literal["paper", "standard", "wide", "layers"]
AdvisorName = Literal["auto", "openai", "ollama", "embedded", "none"]
RunnerKind = Literal["thread", "process", "dask", "ray"]


FILE_FORMAT = ("time", "time_format", "timezone", "separator", "decimal", "encoding")
"""Options that say how a CSV file is written."""


class DataOptions(Options):
    """What is tuned: the data, and the space of hyperparameters."""

    model_config = ConfigDict(title="Data and space")

    csv: str | None = None
    """Time series to forecast instead of the one that ships; one row per time step."""
    target: str | None = None
    """Column of the file to forecast."""
    horizon: AtLeast1 = 6
    """Rows from the last observation to the forecast."""
    where: Texts = ()
    """Rows of the file to use, as COLUMN=VALUE; may be given several times."""
    max_missing: Share = 0.1
    """Largest share of missing target values that is accepted."""
    time: str | None = None
    """Column of the time, or date and clock as DATE+CLOCK; found in the file if not given."""
    time_format: str | None = None
    """How dates are written, such as %d/%m/%Y; found in the file if not given."""
    timezone: str | None = None
    """Zone of times that do not name theirs, such as Europe/Berlin."""
    separator: str | None = None
    """What separates the cells of the file: one character, `tab` or `space`; found in the file if
    not given."""
    decimal: Literal[".", ","] | None = None
    """Decimal mark of the file; found in it if not given."""
    encoding: str | None = None
    """Encoding of the file, such as cp1252; found in it if not given."""
    last: AtLeast1 | None = None
    """Newest rows of the series to use; all of them if not given."""
    images: str | None = None
    """Images to tell apart instead of the textures that ship: a folder with one folder per class,
    or an npz file with `images` and `labels`."""
    classes: str | None = None
    """Classes of the images to use, several of them as one: `fibre=paper+cardboard`."""
    dims: Annotated[int, Field(ge=2, le=1_000)] = 5
    """Variables of `rastrigin`."""
    space: SpaceName = "standard"
    """What is tuned of a network: layers and width (`paper`), learning rate and dropout besides
    (`standard`), all there is (`wide`), or `standard` with a width of its own for each layer
    (`layers`)."""
    max_parameters: AtLeast1 | None = None
    """Most weights of a network; a larger one is never trained."""
    max_latency_ms: Positive | None = None
    """Longest time of one prediction of a network on one thread, in milliseconds."""
    space_file: str | None = None
    """Space of a plain function of yours: a YAML file, or Python that names `space`."""
    goals: Texts = ()
    """Goals to lower together, two or three, with commas between or given several times: names of
    the `values` of your objective. Of a network its `error`, `latency_ms` and `parameters`; the
    error need not be named."""
    choose: str = "knee"
    """Which trial of the Pareto front of several goals is registered: where it bends (`knee`), or
    the lowest first goal within a limit, such as `latency_ms <= 5`."""

    @field_validator("goals", mode="after")
    @classmethod
    def _separate(cls, goals: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.strip() for text in goals for name in text.split(","))

    @model_validator(mode="after")
    def _belong_to_a_file(self) -> Self:
        if self.csv is not None and self.target is None:
            raise SpecError(f"target is missing; name the column of {self.csv!r} to forecast")
        if self.csv is None and (self.target is not None or self.where):
            raise SpecError("target and where are columns of a file; name it with csv")
        for name in FILE_FORMAT:
            if self.csv is None and getattr(self, name) is not None:
                raise SpecError(f"{name} is how a file is written; name it with csv")
        if self.images is None and self.classes is not None:
            raise SpecError("classes are those of your images; name them with images")
        for condition in self.where:
            if "=" not in condition:
                raise SpecError(f"where is {condition!r}; it must read COLUMN=VALUE")
        return self


class SearchOptions(Options):
    """How configurations are proposed."""

    model_config = ConfigDict(title="Search")

    evaluations: Annotated[int, Field(ge=1)] = 30
    """Full trainings to spend, failed ones included; one that stops early counts its share."""
    method: MethodName = "guided"
    """In `guided` a surrogate picks among the swarm's moves and the language model names one
    start; `paper` lets the language model replace the worst particles (arXiv 2504.14126); `pso` is
    plain particle swarm optimisation, without surrogate or language model."""
    particles: Annotated[int, Field(ge=2, le=1_000)] | None = None
    """Size of the swarm; if not given 4 in `guided` and 6 else, or more: as many as the batch in
    `guided`, as the workers else."""
    batch: AtLeast1 | None = None
    """Trainings that are under way together in `guided`, at most one for each particle; if not
    given as many as there are workers."""
    topology: Literal["star", "ring"] = "star"
    """Which particles a particle learns from: all (`star`) or its two neighbours (`ring`)."""
    decreasing_inertia: bool = False
    """Let inertia fall from 0.9 to 0.4 over the study (`pso`, `paper`)."""
    warm_up: AtLeast1 = 2
    """Iterations before the language model is first asked (`paper`)."""
    replaced: AtLeast1 = 2
    """Particles that take the language model's advice in each iteration after the warm-up
    (`paper`)."""
    synchronous: bool = False
    """Wait for all trainings of a batch before the next begins. The same seed then gives the same
    study on any machine; else, with several workers, each takes the next configuration as soon as
    it is free (`guided`)."""
    racing: bool | None = None
    """Train configurations briefly, pause them, and continue the most promising: far fewer epochs.
    If not given, `guided` does so with one goal where trainings can pause, and stops those that
    only report."""
    repeats: Annotated[int, Field(ge=0, le=1_000)] = 0
    """Trainings, of the evaluations, that repeat the two best configurations with other seeds at
    the end; the better one on average is chosen, and the mean of its repeats is what it is worth.
    The search is that much shorter."""
    start: Configurations = ()
    """Known configuration to evaluate first, as JSON; may be given several times."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Makes the study repeatable."""

    @model_validator(mode="after")
    def _leave_something_to_search(self) -> Self:
        if self.repeats >= self.evaluations:
            raise SpecError(
                f"repeats is {self.repeats!r} of {plural(self.evaluations, 'evaluation')}; it "
                "must be less"
            )
        return self


class MemoryOptions(Options):
    """Which earlier studies teach a new one: of any model, in the same tracking store."""

    model_config = ConfigDict(title="Memory")

    memory: Literal["auto", "off"] = "auto"
    """Begin from what earlier studies of the same hyperparameters and metric found, or where there
    are none from those that ship (`auto`: in `guided`; in `paper` the language model reads of
    them), or from nothing (`off`)."""
    memory_studies: Annotated[int, Field(ge=1, le=20)] = 20
    """Earlier studies to learn from: the most alike, and of these the newest."""
    memory_days: Positive | None = None
    """Age in days of the oldest earlier study to learn from; any if not given."""
    memory_experiments: Texts = ()
    """MLflow experiment to look for earlier studies in, all if none is given; may be given several
    times."""


class StopOptions(Options):
    """What ends a study before its evaluations are spent.

    They are looked at whenever results come back: of one training, or of a batch where its
    trainings wait for each other. Then nothing else begins; what is under way is waited for, and
    the best result is returned.

    Example:
        >>> from llmpso import Float, SearchSpace, minimize
        >>> space = SearchSpace({"x": Float(-5, 5)})
        >>> ended = minimize(lambda p: p["x"] ** 2, space, evaluations=500, stop_at=0.5)
        >>> ended.stop_reason.value
        'target'
    """

    model_config = ConfigDict(title="When to stop")

    stop_at: float | None = None
    """End at a value this low, or lower."""
    patience: int | Literal["auto"] | None = None
    """End after so many trainings in a row without a better value; `auto` ends a study of the
    method `guided` when its surrogate expects next to nothing more of the next ones. A retuning
    then ends sooner: no gain below its `margin` counts."""
    max_seconds: Positive | None = None
    """End after so many seconds of wall time; trainings that run are waited for."""
    max_llm_calls: AtLeast1 | None = None
    """End after so many requests to the language model, without those answered from the cache."""
    max_llm_tokens: AtLeast1 | None = None
    """End after so many tokens of requests to the language model and of its replies, reasoning
    included, without those from the cache."""
    max_llm_cost: Positive | None = None
    """End after so many dollars for the language model's tokens; its price must be known, or given
    as `llm_price`."""
    max_failures: AtLeast1 | None = None
    """End after so many failed trainings. If not given, a study ends whose first trainings all
    fail with the same exception."""

    @field_validator("patience", mode="before")
    @classmethod
    def _is_patience(cls, patience: Any) -> Any:
        """Refuse another one in the words of the option, not in those of its type."""
        is_number = isinstance(patience, int) and not isinstance(patience, bool)
        if patience is None or patience == "auto" or (is_number and patience >= 1):
            return patience
        raise SpecError(f"patience is {patience!r}; it must be at least 1, or 'auto'")


class LLMOptions(Options):
    """Which language model advises the search."""

    model_config = ConfigDict(title="Language model")

    advisor: AdvisorName = "auto"
    """Language model; `auto` takes a server with OpenAI's protocol if `OPENAI_API_KEY` or
    `llm_url` is set, else an Ollama that runs and has the model, else the embedded model."""
    llm_model: str | None = None
    """Model name for OpenAI or Ollama, or a GGUF file for the embedded one."""
    llm_url: str | None = None
    """Address of a server with OpenAI's protocol (advisor `openai` or `auto`), or of an Ollama
    (advisor `ollama`)."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    """Spread of the language model's answers in `paper`; the question for a start in `guided` has
    a temperature of its own."""
    llm_price: str | None = None
    """Dollars per million tokens read and written, such as 0.15/0.60; known of OpenAI's models."""

    @property
    def price(self) -> TokenPrice | None:
        """The price that was given."""
        return None if self.llm_price is None else TokenPrice.parsed(self.llm_price)

    @model_validator(mode="after")
    def _has_a_price(self) -> Self:
        if self.llm_price is not None:
            TokenPrice.parsed(self.llm_price)
        return self


class ScheduledLLMOptions(LLMOptions):
    """The same for scheduled runs: no LLM by default, so that they cost nothing."""

    advisor: AdvisorName = "none"
    """Language model, `none` by default; `auto` takes a server with OpenAI's protocol if
    `OPENAI_API_KEY` or `llm_url` is set, else an Ollama that runs and has the model, else the
    embedded model."""


class RunOptions(Options):
    """Where trainings run, what they may take, and what becomes of the results."""

    model_config = ConfigDict(title="Running")

    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    """Trainings that run in parallel; measured at the start if not given."""
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """Cores that one training may use; measured at the start if not given."""
    runner: RunnerKind = "thread"
    """Where trainings run: in threads, in separate processes that can be killed, or on the
    workers of a Dask or Ray cluster."""
    address: str | None = None
    """Address of the Dask or Ray cluster; one is started on this machine if not given."""
    per_gpu: AtLeast1 | None = None
    """Trainings that share one GPU; each worker sees one GPU only."""
    resources: Texts = ()
    """What one training takes of a cluster beside its cores, as NAME=AMOUNT: of Ray `GPU`,
    `memory` (MiB) or names of the cluster's own, of Dask those of its workers; may be given
    several times."""
    timeout: Positive | None = None
    """Seconds after which a training is killed and counts as failed."""
    max_memory: AtLeast1 | None = None
    """MiB that the process of a training may take before it is killed."""
    ensemble: Annotated[int, Field(ge=0, le=20)] = 0
    """Models, at most, to average: their average is registered if it is better than the best one
    on held-out validation data. 0 registers the best one."""
    system_metrics: bool = False
    """Record CPU, memory, disk, network and GPU of this machine with the study in MLflow."""
    fresh: bool = False
    """Start the study again instead of resuming it where it was interrupted."""
    experiment: str | None = None
    """MLflow experiment; the objective's name if not given."""
    notify: str | None = None
    """Prefect notification block, as TYPE/NAME, that is notified of the outcome of the run."""

    @field_validator("ensemble", mode="after")
    @classmethod
    def _averages_several(cls, ensemble: int) -> int:
        if ensemble == 1:
            raise SpecError("ensemble is 1; it must be 0, or from 2 to 20 models to average")
        return ensemble

    @model_validator(mode="after")
    def _suits_the_runner(self) -> Self:
        where = f"runner {self.runner!r}"
        if self.address is not None and self.runner not in ("dask", "ray"):
            raise SpecError(
                f"address is {self.address!r}, but {where} has none; add --runner dask or "
                "--runner ray"
            )
        for name, limit in (("timeout", self.timeout), ("max_memory", self.max_memory)):
            if limit is not None and self.runner != "process":
                raise SpecError(
                    f"{name} is {limit!r}, but {where} cannot stop an evaluation; add "
                    "--runner process"
                )
        if self.max_memory is not None and not Path("/proc/self/statm").exists():
            raise SpecError(f"max_memory is {self.max_memory!r}; it can only be limited on Linux")
        self._check_resources()
        if self.per_gpu is not None and self.runner == "thread":
            raise SpecError(
                f"per_gpu is {self.per_gpu!r}, but threads share their devices; add "
                "--runner process, dask or ray"
            )
        return self

    def _check_resources(self) -> None:
        taken = parsed_resources(self.resources)
        if taken and not (self.runner == "ray" or (self.runner == "dask" and self.address)):
            raise SpecError(
                f"resources is {list(self.resources)}, but runner {self.runner!r} on this machine "
                "has none; add --runner ray, or --runner dask with --address"
            )
        if "GPU" in taken and self.per_gpu is not None:
            raise SpecError(f"per_gpu is {self.per_gpu!r}, and resources names GPU; give one")


class AllOptions(Options):
    """The six groups; an option may also be given by its name alone, as a command line has it.

    Example:
        >>> asked = AllOptions(evaluations=60, max_seconds=3600)
        >>> asked.search.evaluations, asked.stop.max_seconds
        (60, 3600.0)
    """

    data: DataOptions = DataOptions()
    search: SearchOptions = SearchOptions()
    past: MemoryOptions = MemoryOptions()
    stop: StopOptions = StopOptions()
    llm: LLMOptions = LLMOptions()
    run: RunOptions = RunOptions()

    def __init__(self, **options: Any) -> None:
        given: dict[str, Any] = {}
        for name, value in options.items():
            if name in type(self).model_fields:
                given[name] = value
            elif name in GROUP_OF:
                given.setdefault(GROUP_OF[name], {})[name] = value
            else:
                check_names([name], [*type(self).model_fields, *GROUP_OF])
        super().__init__(**given)


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a name that no option has.

    Raises:
        SpecError: One line names the option that may have been meant.
    """
    known = list(known)
    for name in given:
        if name not in known:
            is_old = name in RENAMED
            hint = f"it is {RENAMED[name]} now" if is_old else did_you_mean(name, known)
            raise SpecError(f"there is no option {name!r}; {hint}")


RENAMED: Mapping[str, str] = {
    "budget": "evaluations",
    "champion": "choose",
    "resume": "fresh, which is its opposite,",
}
"""Names that older deployments and notebooks may hold, and are not like the new ones."""

GROUPS: Mapping[str, type[Options]] = {
    "data": DataOptions,
    "search": SearchOptions,
    "past": MemoryOptions,
    "stop": StopOptions,
    "llm": LLMOptions,
    "run": RunOptions,
}
"""The groups, by the names that flows and deployments have for them."""

GROUP_OF: Mapping[str, str] = {
    name: group for group, kind in GROUPS.items() for name in kind.model_fields
}
"""Of each option, its group; no two groups share a name."""
