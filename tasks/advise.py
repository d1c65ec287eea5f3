"""The language model behind a cached Prefect task: the same question is sent only once."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, cast

from prefect import task
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.states import Failed
from prefect.transactions import get_transaction

from llmpso.backends.base import Backend, BackendAround, Reply, Request
from llmpso.backends.replies import question_key
from llmpso.errors import BackendError
from llmpso.masking import masked
from tasks.storable_errors import storable_errors


def cache_key(context: TaskRunContext | None, parameters: Mapping[str, Any]) -> str:
    """The key of a question in Prefect's cache; it does not depend on the run."""
    identity = parameters["backend"].identity
    return f"llmpso-advice-{question_key(identity, parameters['request'])}"


@task(
    name="ask the model",
    task_run_name="ask {backend.identity[model]}",
    cache_key_fn=cache_key,
    persist_result=True,
    result_serializer="json",
)
@storable_errors
def ask_model(backend: Backend, request: Request) -> dict[str, Any] | State[None]:
    """Ask once; the reply is cached as JSON under the key of its question."""
    try:
        reply = backend.complete(request)
        return asdict(replace(reply, text=masked(reply.text)))
    except BackendError as error:
        if (transaction := get_transaction()) is not None:
            # Prefect would cache that there was no reply, as the reply.
            transaction.write_on_commit = False
        return Failed(message=masked(str(error)))


class CachedBackend(BackendAround):
    """A backend whose every question goes through the cached task."""

    def complete(self, request: Request) -> Reply:
        """Ask, or take the reply from an earlier run; a cached one costs no time.

        Raises:
            BackendError: The model did not answer.
        """
        state = ask_model(self._backend, request, return_state=True)
        if not state.is_completed():
            raise BackendError(state.message or "the model did not answer")
        reply = Reply(**cast(dict[str, Any], state.result()))
        return replace(reply, cached=True, seconds=0.0) if state.name == "Cached" else reply
