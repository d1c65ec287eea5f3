"""Models behind the OpenAI protocol: OpenAI itself, or any server that speaks it.

OpenAI's client sends the questions. Answers are read by us, as they came: compatible servers leave
out much of what the client expects.
"""

import os
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any, cast

import httpx
import openai

from llmpso.backends.base import Message, Request
from llmpso.backends.chat_completion import (
    Completion,
    ModelList,
    messages_in_dialect,
    response_format,
)
from llmpso.backends.connection import CHECK_SECONDS, checked_url, http_settings, usable_proxy
from llmpso.backends.dialect import Dialect
from llmpso.backends.http_backend import LOST, Answered, HTTPBackend
from llmpso.backends.response_body import body_of
from llmpso.backends.retries import TransientError, call
from llmpso.backends.server_error import ServerError
from llmpso.errors import BackendError, BackendUnavailableError
from llmpso.masking import LEAST_LENGTH
from llmpso.urls import HIDDEN, masked_url

OFFICIAL_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "gpt-4o-mini"

_COUNTED = {"stream_options": {"include_usage": True}}
"""Without this an answer that comes piece by piece costs nothing, as far as it says."""

_PROBE = Request((Message("user", "Reply with {}."),), {"type": "object"}, max_tokens=1)


class OpenAIBackend(HTTPBackend):
    """A chat model; what its server refuses of a question is left out, or said otherwise.

    Attributes:
        model: Name of the model.
        url: Address of the server, without secrets.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        """Set up the backend; nothing is sent.

        Args:
            model: Name of the model.
            base_url: Address of a compatible server; else `OPENAI_BASE_URL`, else OpenAI.
            api_key: Else `OPENAI_API_KEY`. Only OpenAI itself insists on one.
            timeout: Seconds for one call, retries included.

        Raises:
            BackendUnavailableError: There is no usable key, or `base_url` is no address.
        """
        named = base_url or os.environ.get("OPENAI_BASE_URL") or OFFICIAL_URL
        self._base_url = checked_url(named, "base_url", "http://127.0.0.1:8000/v1").rstrip("/")
        url = masked_url(self._base_url).rstrip("/")
        super().__init__(model, url, f"{model} at {url}", timeout)
        self._key = _checked_key(api_key or os.environ.get("OPENAI_API_KEY", ""), url)

    @property
    def identity(self) -> Mapping[str, str]:
        """Backend, model and address."""
        return {"backend": "openai", "model": self.model, "url": self.url}

    def check(self) -> None:
        """Make sure that the model answers.

        A listed model is assumed to answer. Many compatible servers have no list, or accept
        names that are not on it: these are asked for one token.

        Raises:
            BackendUnavailableError: It does not answer.
        """
        try:
            names, _ = call(self._list, CHECK_SECONDS, self.url, pauses=())
            if self.model not in names:
                self.complete(_PROBE)
                # A limit of one token may have been refused for being so small.
                self._dialect = replace(self._dialect, limit=Dialect().limit, room=1)
        except BackendError as error:
            raise BackendUnavailableError(str(error)) from error

    async def _list(self) -> frozenset[str]:
        """Names of the models; empty where the server has no list."""
        try:
            async with self._client(CHECK_SECONDS) as client:
                response = await _response(client.models.with_raw_response.list())
        except LOST as error:
            raise self._lost(error) from error
        try:
            models = ModelList.model_validate(body_of(response)).data
        except ValueError:
            return frozenset()
        return frozenset(model.id for model in models)

    async def _post(self, request: Request, dialect: Dialect) -> httpx.Response:
        async with self._client(self._timeout) as client:
            body = self._body(request, dialect)
            return await _response(client.chat.completions.with_raw_response.create(**body))

    def _client(self, seconds: float) -> openai.AsyncOpenAI:
        with usable_proxy(self.url):
            way = httpx.AsyncClient(**http_settings(self.url, seconds))
        return openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._base_url,
            timeout=seconds,
            # Its own retries would be missing from `Reply.retries`.
            max_retries=0,
            http_client=cast(Any, way),
        )

    def _body(self, request: Request, dialect: Dialect) -> dict[str, Any]:
        bound = response_format(request, dialect)
        return (
            {"model": self.model, "messages": messages_in_dialect(request, dialect)}
            | ({"response_format": bound} if bound else {})
            | ({"temperature": request.temperature} if dialect.has_temperature else {})
            | ({dialect.limit: dialect.room * request.max_tokens} if dialect.limit else {})
            | ({"seed": request.seed} if dialect.has_seed else {})
            | ({"stream": True} if dialect.streams else {})
            | (_COUNTED if dialect.streams and dialect.counts else {})
        )

    def _read(self, body: Any) -> Answered:
        completion = Completion.model_validate(body)
        usage = completion.usage
        choices = completion.choices
        choice = next((one for one in choices if one.message.text.strip()), choices[0])
        finish = f"finish_reason is {choice.finish_reason!r}"
        return Answered(
            text=choice.message.text,
            prompt_tokens=usage.n_read if usage else 0,
            completion_tokens=usage.n_written if usage else 0,
            is_cut=choice.finish_reason == "length",
            has_reasoning=choice.message.has_reasoning or bool(usage and usage.n_reasoning),
            reason=choice.message.refusal or finish,
        )

    def _unreadable(self, response: httpx.Response) -> BackendError:
        said = self._safe(response.text) or f"nothing, status {response.status_code}"
        return BackendError(
            f"{self.url} answered, but not with a chat completion; check base_url "
            f"(it mostly ends in /v1); it said: {said}"
        )

    def _unreachable(self, cause: str) -> str:
        return f"{self.url} cannot be reached ({cause}); check base_url and the network"

    def _explained(self, server_error: ServerError) -> BackendError | TransientError:
        said = self._said(server_error)
        if server_error.is_out_of_quota:
            return BackendUnavailableError(
                f"the account at {self.url} has no quota left ({said}); add credit, "
                "or choose --advisor embedded"
            )
        match server_error.status:
            case 200:
                return BackendError(f"{self._where} failed: {said}")
            case 401:
                # Its message contains a part of the key.
                return BackendUnavailableError(f"{self.url} refuses the key; check OPENAI_API_KEY")
            case 403:
                return BackendUnavailableError(f"{self.url} denies access ({said}); check the key")
            case 404:
                return BackendUnavailableError(
                    f"{self.url} has no model {self.model!r} ({said}); check model and base_url"
                )
        if server_error.may_pass:
            failed = f"{self._where} failed with {server_error.status} ({said}); try again later"
            return TransientError(BackendError(failed), server_error.wait)
        return BackendError(f"{self._where} refuses the request: {said}")

    def _masked(self, text: str) -> str:
        """A server's message without the key, which some servers repeat.

        A shorter one is only a placeholder, and may be part of any word.
        """
        return text.replace(self._key, HIDDEN) if len(self._key) >= LEAST_LENGTH else text


async def _response(sent: Awaitable[Any]) -> httpx.Response:
    """The response to what the client sent, whatever its status."""
    try:
        response = (await sent).http_response
        await response.aread()
        return cast(httpx.Response, response)
    except openai.APIStatusError as error:
        return cast(httpx.Response, error.response)
    except openai.APIConnectionError as error:
        cause = error.__cause__ or ConnectionError(error.message)
    # Out here, so that the cause does not become its own context.
    raise cause


def _checked_key(key: str, url: str) -> str:
    key = key.strip()
    if not key and url == OFFICIAL_URL:
        raise BackendUnavailableError(
            "OPENAI_API_KEY is not set; export it, or choose --advisor embedded"
        )
    # Such a key fails inside the HTTP client, with the key in its message.
    if not (key.isascii() and (key + "x").isprintable()):
        raise BackendUnavailableError("OPENAI_API_KEY holds odd characters; copy it again")
    return key or "no-key"
