"""The earlier studies in MLflow that a new one learns from: found, compared and read."""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from mlflow.entities import Run
from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from llmpso.errors import SpecError
from llmpso.memory.mapping import LEAST_SHARED, fits
from llmpso.memory.past_study import PastStudy
from llmpso.memory.reference_studies import reference_studies
from llmpso.options import MemoryOptions
from llmpso.space import SearchSpace
from llmpso.text import did_you_mean, one_line, plural
from tasks.records.past_studies import Copies, read_past_study, saved_copies
from tasks.storable_errors import storable_errors
from tasks.store.client import client, paged
from tasks.store.experiment import MODEL_TAG, NEWEST_FIRST, SPACE_PREFIX, Experiment
from tasks.store.names import keys
from tasks.store.patience import STORE_ERRORS
from tasks.store.tracker import Tracker

logger = logging.getLogger(__name__)

RECALLED = "memory/earlier_studies.json"
"""What a study began from, among the artifacts of its run: so it can be resumed."""

MOST_COMPARED = 500
"""Newest studies that are compared with a new one: of its own experiment, and of all others."""

PER_PAGE = 200

N_READERS = 8
"""Studies that are read from a server at once."""

SECONDS_PER_DAY = 86_400.0


class Recalled(BaseModel):
    """What a study begins from."""

    model_config = ConfigDict(frozen=True)

    studies: tuple[PastStudy, ...] = ()
    """The most alike first, and of these the newest."""
    left_out: tuple[str, ...] = ()
    """Which others there are, and why they are not used."""


@dataclass(frozen=True, slots=True)
class Sought:
    """The new study, and which earlier ones it may learn from."""

    experiment: Experiment
    space: SearchSpace
    metric: str
    objective: str
    model: str
    """Registered model that it is for."""
    network: str = ""
    """Network of the library, for which studies ship; empty for an objective of a user's own."""
    options: MemoryOptions = MemoryOptions()


@task(name="recall", task_run_name="look for earlier studies", cache_policy=NO_CACHE)
@storable_errors
def recall(sought: Sought) -> Recalled:
    """The earlier studies that a new one begins from; trouble with the store is a note on them."""
    return found(sought)


def counted(n_studies: int) -> str:
    """A number of earlier studies in words."""
    several = plural(n_studies, "earlier study", "earlier studies")
    return several if n_studies else "no earlier studies"


def recorded(study: Tracker) -> Recalled | None:
    """What a study began from when it was started; None if that is not recorded."""
    try:
        text = study.text(RECALLED)
        return Recalled.model_validate_json(text) if text else None
    except ValidationError as error:
        logger.warning("%s of study %s is damaged: %s", RECALLED, study.run_id, one_line(error))
        return None


def record(study: Tracker, recalled: Recalled) -> None:
    """Record what a study begins from."""
    study.record_text(RECALLED, recalled.model_dump_json())
    study.record_tags({"memory": counted(len(recalled.studies))})


def found(sought: Sought) -> Recalled:
    """See `recall`."""
    reasons: Counter[str] = Counter()
    try:
        copies = saved_copies()
        studies = _read_usable(sought, _alike(sought, reasons), copies, reasons)
        copies.forget_oldest()
    except (*STORE_ERRORS, SQLAlchemyError) as error:
        return Recalled(left_out=(f"earlier studies cannot be searched: {one_line(error, 200)}",))
    lines = [f"{n} {reason}" for reason, n in reasons.most_common()]
    return Recalled(studies=tuple(studies) or _shipped(sought), left_out=tuple(lines))


def _shipped(sought: Sought) -> tuple[PastStudy, ...]:
    """The studies that come with the library, unless others are named."""
    fitting = (
        study
        for study in reference_studies(sought.network)
        if _name_of(study.metric) == _name_of(sought.metric) and fits(sought.space, study)
    )
    is_limited = sought.options.memory_experiments or sought.options.memory_days is not None
    return () if is_limited else tuple(islice(fitting, sought.options.memory_studies))


def check_experiments(tracking_uri: str, names: Sequence[str]) -> None:
    """Refuse the name of an experiment that is not there.

    Raises:
        SpecError: There is none of this name.
    """
    for name in names:
        if client(tracking_uri).get_experiment_by_name(name) is None:
            known = (each.name for each in paged(client(tracking_uri).search_experiments))
            raise SpecError(
                f"memory_experiments is {name!r}; there is no such experiment, "
                f"{did_you_mean(name, known)}"
            )


def _alike(sought: Sought, reasons: Counter[str]) -> list[Run]:
    """Finished studies of the same metric and of like hyperparameters, the most alike first."""
    names = set(keys(sought.space).values())
    fitting: list[tuple[tuple[Any, ...], Run]] = []
    for run in _finished(sought):
        theirs = _hyperparameters(run)
        shared = len(names & theirs) / len(names)
        if reason := _unfit(run, sought, shared):
            reasons[reason] += bool(theirs)
        else:
            fitting.append((_likeness(run, sought, shared), run))
    return [run for _, run in sorted(fitting, key=lambda pair: pair[0], reverse=True)]


def _likeness(run: Run, sought: Sought, shared: float) -> tuple[Any, ...]:
    tags = run.data.tags
    is_same_model = tags.get(MODEL_TAG) == sought.model
    return is_same_model, tags.get("objective") == sought.objective, shared


def _hyperparameters(run: Run) -> set[str]:
    """Their names as keys of MLflow."""
    params = run.data.params
    return {each.removeprefix(SPACE_PREFIX) for each in params if each.startswith(SPACE_PREFIX)}


def _unfit(run: Run, sought: Sought, shared: float) -> str:
    """Why a study is of no use, as far as its tags say; empty if it may be."""
    if _name_of(run.data.tags.get("metric", "")) != _name_of(sought.metric):
        return "of another metric"
    if shared < LEAST_SHARED:
        return "of other hyperparameters"
    days = sought.options.memory_days
    age = time.time() - (run.info.end_time or 0) / 1000
    return "too old" if days is not None and age > days * SECONDS_PER_DAY else ""


def _name_of(metric: str) -> str:
    """A metric without its unit: values are compared within a study only."""
    return metric.partition(" (")[0].strip().lower()


def _finished(sought: Sought) -> Iterator[Run]:
    """Finished studies, the newest first: those of the new one's experiment before all others."""
    store, own = client(sought.experiment.tracking_uri), sought.experiment.experiment_id
    named = set(sought.options.memory_experiments)
    ids = [
        each.experiment_id
        for each in paged(store.search_experiments)
        if not named or each.name in named
    ]
    finished = "attributes.status = 'FINISHED' and tags.metric != ''"
    for some in ([own] if own in ids else [], [each for each in ids if each != own]):
        search = partial(
            store.search_runs, some, finished, order_by=NEWEST_FIRST, max_results=PER_PAGE
        )
        yield from islice(paged(search), MOST_COMPARED) if some else ()


def _read_usable(
    sought: Sought, runs: Sequence[Run], copies: Copies, reasons: Counter[str]
) -> list[PastStudy]:
    """The first studies of runs that can be used, as many as are asked for."""
    is_server = sought.experiment.tracking_uri.startswith("http")
    n_readers, most = N_READERS if is_server else 1, sought.options.memory_studies
    found: list[PastStudy] = []
    with ThreadPoolExecutor(n_readers) as pool:
        for begin in range(0, len(runs), n_readers):
            for past in pool.map(partial(_read, sought, copies), runs[begin : begin + n_readers]):
                if isinstance(past, str):
                    reasons[past] += 1
                else:
                    found.append(past)
            if len(found) >= most:
                break
    return found[:most]


def _read(sought: Sought, copies: Copies, run: Run) -> PastStudy | str:
    """The study of a run, or why it cannot be used."""
    study = Tracker(sought.experiment.tracking_uri, run.info.experiment_id, run.info.run_id)
    try:
        past = read_past_study(study, run, copies)
    except (*STORE_ERRORS, ValidationError) as error:
        logger.warning("study %s cannot be read: %s", study.run_id, one_line(error))
        return "not readable"
    return past if fits(sought.space, past) else "with too few trials in this space"
