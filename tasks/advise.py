"""The language model behind a cached Prefect task: the same question is asked once, ever."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, cast

from prefect import task
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.states import Failed

from llmpso.backends.base import Backend, BackendAround, Reply, Request
from llmpso.errors import BackendError
from llmpso.masking import masked
from tasks.storable_errors import storable_errors


def reply_key(context: TaskRunContext | None, parameters: Mapping[str, Any]) -> str:
    """The cache key: the model's identity and the whole question; never a key or a run."""
    backend: Backend = parameters["backend"]
    question = {"model": dict(backend.identity), "request": asdict(parameters["request"])}
    text = json.dumps(question, sort_keys=True)
    return f"llmpso-advice-{hashlib.sha256(text.encode()).hexdigest()}"


@task(
    name="ask the model",
    task_run_name="ask {backend.identity[model]}",
    cache_key_fn=reply_key,
    persist_result=True,
    result_serializer="json",
)
@storable_errors
def ask_model(backend: Backend, request: Request) -> dict[str, Any] | State[None]:
    """Ask once; the reply is kept as JSON under the key of its question."""
    try:
        reply = backend.complete(request)
        return asdict(replace(reply, text=masked(reply.text)))
    except BackendError as error:
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
