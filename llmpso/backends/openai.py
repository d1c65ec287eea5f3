"""Models behind the OpenAI protocol: OpenAI itself, or any server that speaks it."""

import logging
import os
import re
import time
from collections.abc import Mapping
from typing import Any, cast

import openai
from pydantic import ValidationError

from llmpso.backends.base import Message, Reply, Request
from llmpso.backends.completion import (
    Completion,
    ModelList,
    Usage,
    bound_format,
    messages,
    messages_with_schema,
)
from llmpso.backends.transport import (
    CHECK_SECONDS,
    CONNECT_SECONDS,
    MESSAGE_LIMIT,
    TransientError,
    call,
    public_url,
)
from llmpso.errors import BackendError, BackendUnavailableError
from llmpso.text import one_line

OFFICIAL_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "gpt-4o-mini"

_PROBE = Request((Message("user", "Reply with {}."),), {"type": "object"}, max_tokens=1)

_log = logging.getLogger(__name__)


class OpenAIBackend:
    """A chat model that takes `max_tokens` and `temperature`.

    Attributes:
        model: Name of the model.
        url: Address of the server, without secrets.
        schema_bound: Whether the server binds replies to the schema. It turns false, with a
            warning, when the server refuses `json_schema`; the schema is then only told.
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
        self._base_url = base_url or os.environ.get("OPENAI_BASE_URL") or OFFICIAL_URL
        self.model = model
        self.url = _checked_url(self._base_url)
        self.schema_bound = True
        self._where = f"{model} at {self.url}"
        self._key = _checked_key(api_key or os.environ.get("OPENAI_API_KEY", ""), self.url)
        self._timeout = timeout
        self._closed = False

    @property
    def identity(self) -> Mapping[str, str]:
        """Backend, model and address."""
        return {"backend": "openai", "model": self.model, "url": self.url}

    def check(self) -> None:
        """Make sure that the model answers.

        A listed model is taken to answer. Many compatible servers have no list, or accept
        names that are not on it: these are asked for one token.

        Raises:
            BackendUnavailableError: It does not answer.
        """
        try:
            names, _ = call(self._list, CHECK_SECONDS, self.url, pauses=())
            if self.model not in names:
                self.complete(_PROBE)
        except BackendError as error:
            raise BackendUnavailableError(str(error)) from error

    def complete(self, request: Request) -> Reply:
        """Ask once; see `Backend`."""
        if self._closed:
            raise BackendError(f"the backend for {self._where} is closed; make a new one")

        async def attempt() -> Completion:
            return await self._attempt(request)

        start = time.perf_counter()
        completion, retries = call(attempt, self._timeout, self._where)
        choice = completion.choices[0]
        if choice.message.content is None:
            reason = choice.message.refusal or f"finish_reason is {choice.finish_reason!r}"
            raise BackendError(f"{self._where} answered without text: {self._safe(reason)}")
        usage = completion.usage or Usage()
        return Reply(
            text=self._masked(choice.message.content),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            seconds=time.perf_counter() - start,
            truncated=choice.finish_reason == "length",
            retries=retries,
        )

    def close(self) -> None:
        """Refuse further calls; no connection outlives a call."""
        self._closed = True

    def _client(self, seconds: float) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._base_url,
            timeout=openai.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
            # Its own retries would be missing from `Reply.retries`.
            max_retries=0,
        )

    async def _list(self) -> frozenset[str]:
        """Names of the models; none where the server does not tell."""
        try:
            async with self._client(CHECK_SECONDS) as client:
                raw = await client.models.with_raw_response.list()
            return frozenset(model.id for model in ModelList.model_validate_json(raw.text).data)
        except (openai.APIStatusError, ValidationError):
            return frozenset()
        except openai.APIConnectionError as error:
            raise self._explained(error) from error

    async def _attempt(self, request: Request) -> Completion:
        try:
            return Completion.model_validate_json(await self._ask(request))
        except openai.APIError as error:
            raise self._explained(error) from error
        except ValidationError as error:
            raise BackendError(
                f"{self.url} answered, but not with a chat completion; check base_url "
                "(it mostly ends in /v1)"
            ) from error

    async def _ask(self, request: Request) -> str:
        async with self._client(self._timeout) as client:
            if self.schema_bound:
                try:
                    bound = bound_format(request.schema)
                    return await self._send(client, request, messages(request), bound)
                except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                    self._unbind(error)
            told = messages_with_schema(request)
            return await self._send(client, request, told, {"type": "json_object"})

    async def _send(
        self,
        client: openai.AsyncOpenAI,
        request: Request,
        conversation: list[dict[str, str]],
        response_format: dict[str, Any],
    ) -> str:
        raw = await client.chat.completions.with_raw_response.create(
            model=self.model,
            messages=cast(Any, conversation),
            response_format=cast(Any, response_format),
            temperature=request.temperature,
            max_tokens=request.max_tokens,
            seed=request.seed,
        )
        return raw.text

    def _unbind(self, error: openai.APIStatusError) -> None:
        """Give up binding if that is what the server complains of, else raise."""
        said = self._said(error)
        if not re.search(r"response.?format|schema", said, re.IGNORECASE):
            raise error
        self.schema_bound = False
        _log.warning("%s refuses json_schema (%s); from now on it is told", self._where, said)

    def _explained(self, error: openai.APIError) -> BackendError | TransientError:
        said = self._said(error)
        match error:
            case openai.APIConnectionError():
                cause = self._safe(str(error.__cause__ or error.message))
                lost = f"{self.url} cannot be reached ({cause}); check base_url and the network"
                return TransientError(BackendUnavailableError(lost))
            case openai.AuthenticationError():
                # Its words hold a part of the key.
                return BackendUnavailableError(f"{self.url} refuses the key; check OPENAI_API_KEY")
            case openai.PermissionDeniedError():
                return BackendUnavailableError(f"{self.url} denies access ({said}); check the key")
            case openai.RateLimitError() if "insufficient_quota" in (error.code, error.type):
                return BackendUnavailableError(
                    f"the account at {self.url} has no quota left; add credit, "
                    "or choose --advisor embedded"
                )
            case openai.NotFoundError():
                return BackendUnavailableError(
                    f"{self.url} has no model {self.model!r} ({said}); check model and base_url"
                )
            case openai.RateLimitError() | openai.InternalServerError():
                failed = f"{self._where} failed with {error.status_code} ({said}); try again later"
                return TransientError(BackendError(failed))
        return BackendError(f"{self._where} refuses the request: {said}")

    def _said(self, error: openai.APIError) -> str:
        """The server's own words, where it has sent any in OpenAI's shape."""
        body = error.body
        own = body.get("message") if isinstance(body, Mapping) else None
        return self._safe(str(own or error.message))

    def _safe(self, text: str) -> str:
        """A server's words on one line; some servers repeat the key in them."""
        return one_line(self._masked(text), MESSAGE_LIMIT)

    def _masked(self, text: str) -> str:
        """A server's words without the key, which some of them repeat."""
        return text.replace(self._key, "***")


def _checked_url(url: str) -> str:
    if not re.match(r"https?://[^/]", url):
        raise BackendUnavailableError(
            f"base_url is {public_url(url)!r}; it must begin with http:// or https://"
        )
    return public_url(url)


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
