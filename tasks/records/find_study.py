"""A study of the store by what a person calls it: its run, its name, or what it tunes."""

import difflib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice

from mlflow.entities import Run
from sqlalchemy.exc import SQLAlchemyError

from llmpso.errors import DataError, StorageError
from llmpso.text import did_you_mean, one_line
from llmpso.urls import masked_url
from tasks.store.client import client, paged, suppress_code
from tasks.store.experiment import NEWEST_FIRST
from tasks.store.new_store import database_file
from tasks.store.patience import STORE_ERRORS

MOST_SEARCHED = 500
"""Newest studies that are compared with a name."""

LEAST_OF_ID = 6
"""Characters of a run's id that are enough."""

MOST_NAMED = 5
"""Studies that an error names where none is alike."""

_ID = re.compile("[0-9a-f]{32}")

Fits = Callable[[Run, str], bool]

KNOWN_BY: tuple[Fits, ...] = (
    lambda run, named: run.info.run_name == named,
    lambda run, named: run.data.tags.get("objective") == named,
    lambda run, named: run.data.params.get("objective") == named,  # as `tune` was given it
    lambda run, named: len(named) >= LEAST_OF_ID and run.info.run_id.startswith(named),
)
"""What a study may be called, the surest first."""


def find_study(tracking_uri: str, named: str | None) -> Run:
    """The newest study of a name; the newest of all if none is given.

    Args:
        tracking_uri: The store.
        named: Id of its run, or how that begins; its name; or what it tunes.

    Raises:
        DataError: There is none, or no store.
        StorageError: MLflow does not answer.
    """
    where = masked_url(tracking_uri)
    path = database_file(tracking_uri)
    if path is not None and not path.exists():
        raise DataError(f"there is no study yet: {where!r} does not exist")
    with store_answers(tracking_uri):
        if named is not None and _ID.fullmatch(named):
            with suppress_code("RESOURCE_DOES_NOT_EXIST"):
                return client(tracking_uri).get_run(named)
        runs = list(islice(_studies(tracking_uri), MOST_SEARCHED))
    if not runs:
        raise DataError(f"there is no study in {where!r} yet")
    if named is None:
        return runs[0]
    for fits in KNOWN_BY:
        if found := next((run for run in runs if fits(run, named)), None):
            return found
    what = one_line(named, 100)
    raise DataError(f"there is no study {what!r} in {where!r}; {_hint(named, runs)}")


@contextmanager
def store_answers(tracking_uri: str) -> Iterator[None]:
    """Say in one line which store does not answer, or refuses.

    Raises:
        StorageError: It does not.
    """
    try:
        yield
    except (*STORE_ERRORS, SQLAlchemyError) as error:
        where = masked_url(tracking_uri)
        raise StorageError(f"MLflow at {where!r} refuses: {one_line(error, 200)}") from error


def _studies(tracking_uri: str) -> Iterator[Run]:
    """All studies, the newest first."""
    store = client(tracking_uri)
    ids = [each.experiment_id for each in paged(store.search_experiments)]
    search = partial(store.search_runs, ids, "tags.metric != ''", order_by=NEWEST_FIRST)
    return paged(search)


def _hint(named: str, runs: list[Run]) -> str:
    """What may have been meant, or the newest studies."""
    objectives = [run.data.tags.get("objective", "") for run in runs]
    names = [name for name in (*objectives, *(run.info.run_name for run in runs)) if name]
    alike = difflib.get_close_matches(named, names, n=1)
    return did_you_mean(named, alike or list(dict.fromkeys(names))[:MOST_NAMED])
