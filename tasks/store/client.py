"""The MLflow store: one client of it for each process, and how it is searched."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from alembic.util.exc import CommandError
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList
from sqlalchemy.exc import SQLAlchemyError

from llmpso.text import one_line
from llmpso.urls import masked_url
from tasks.store.address import check_store, unusable
from tasks.store.new_store import database_file, make_store
from tasks.store.patience import STORE_ERRORS
from tasks.store.store_file import refusal_of

T = TypeVar("T")

MOST_STORED = 5_000
"""Characters of a tag that every store of MLflow takes."""

MOST_SHOWN = 500
"""Characters of a text that a tag shows."""

MOST_METRICS, MOST_TEXTS = 800, 100
"""Metrics, parameters and tags of one request: MLflow takes 1,000 in all."""


class Client(MlflowClient):
    """A client whose records belong to what they name only.

    MLflow's own gives metrics to the model that is active in the thread or the environment. That
    is one of the user's: it would get the metrics of all trials, and a store that does not have it
    refuses them.
    """

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
        synchronous: bool | None = None,
    ) -> None:
        """Write metrics, parameters and tags to a run."""
        store = self._tracking_client.store
        n_requests = max(
            math.ceil(len(metrics) / MOST_METRICS),
            math.ceil(max(len(params), len(tags)) / MOST_TEXTS),
        )
        for number in range(n_requests):
            texts = slice(number * MOST_TEXTS, (number + 1) * MOST_TEXTS)
            points = slice(number * MOST_METRICS, (number + 1) * MOST_METRICS)
            store.log_batch(
                run_id, metrics=metrics[points], params=params[texts], tags=tags[texts]
            )


@cache
def client(tracking_uri: str) -> Client:
    """One client per process and store; the database is made if it is not there.

    Raises:
        SpecError: The store cannot be used, which is known before it is asked anything.
    """
    check_store(tracking_uri)
    try:
        make_store(tracking_uri)
        return Client(tracking_uri)
    except ModuleNotFoundError as error:
        way_out = f"install it: pip install {error.name}"
        raise unusable(tracking_uri, f"package {error.name} is not there", way_out) from error
    except (*STORE_ERRORS, SQLAlchemyError, CommandError) as error:
        path = database_file(tracking_uri)
        known = refusal_of(path, masked_url(tracking_uri)) if path is not None else ""
        raise unusable(tracking_uri, known or one_line(error, 120)) from error


def paged(search: Callable[..., PagedList[T]]) -> Iterator[T]:
    """All that a search finds; a store gives no more than a page at a time.

    Args:
        search: Takes the `page_token` of the next page.
    """
    token: str | None = None
    while token != "":
        page = search(page_token=token)
        yield from page
        token = page.token or ""


@contextmanager
def suppress_code(code: str) -> Iterator[None]:
    """Continue where MLflow refuses with a code such as `RESOURCE_DOES_NOT_EXIST`."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise


def quoted(name: str) -> str:
    """A name as MLflow's filters take it."""
    quote = "'" if '"' in name else '"'
    return f"{quote}{name}{quote}"


def finite(metrics: Mapping[str, float], timestamp: int, step: int) -> list[Metric]:
    """MLflow's pages break on NaN and inf (mlflow#16555): a failure is a tag, not a metric."""
    return [
        Metric(name, float(value), timestamp, step)
        for name, value in metrics.items()
        if math.isfinite(value)
    ]


def milliseconds(seconds: float) -> int:
    """Time as MLflow counts it."""
    return int(seconds * 1000)
