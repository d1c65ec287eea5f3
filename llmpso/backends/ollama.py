"""Models served by Ollama."""

import os
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
import ollama

from llmpso.backends.base import Reply, Request
from llmpso.backends.completion import messages
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

DEFAULT_HOST = "http://127.0.0.1:11434"
DEFAULT_MODEL = "llama3"

# Ollama's own default is smaller, and it cuts longer prompts without a word.
_CONTEXT_TOKENS = 8192

# What its client lets through when nobody, or somebody else, answers.
_LOST = (ConnectionError, httpx.HTTPError)
_NONSENSE = (ValueError, TypeError, AttributeError)


class OllamaBackend:
    """A model of an Ollama server.

    Attributes:
        model: Name of the model, as `ollama list` shows it; the tag `latest` may be left out.
        url: Address of the server, without secrets.
    """

    def __init__(
        self, model: str = DEFAULT_MODEL, base_url: str | None = None, *, timeout: float = 300.0
    ) -> None:
        """Set up the backend; nothing is sent.

        Args:
            model: Name of the model.
            base_url: Address of the server; else `OLLAMA_HOST`, else this machine.
            timeout: Seconds for one call, retries included. A first call loads the model.

        Raises:
            BackendUnavailableError: `base_url` is no address.
        """
        self.model = model
        self.url = _checked_host(base_url or os.environ.get("OLLAMA_HOST") or DEFAULT_HOST)
        self._where = f"{model} of Ollama at {self.url}"
        self._timeout = timeout
        self._closed = False

    @property
    def identity(self) -> Mapping[str, str]:
        """Backend, model and address."""
        return {"backend": "ollama", "model": self.model, "url": self.url}

    def check(self, seconds: float = CHECK_SECONDS) -> None:
        """Make sure that the server answers and has the model.

        Raises:
            BackendUnavailableError: It does not.
        """
        try:
            names, _ = call(self._list, seconds, f"Ollama at {self.url}", pauses=())
        except BackendError as error:
            raise BackendUnavailableError(str(error)) from error
        if not names & {self.model, f"{self.model}:latest"}:
            raise self._missing()

    def complete(self, request: Request) -> Reply:
        """Ask once; see `Backend`."""
        if self._closed:
            raise BackendError(f"the backend for {self._where} is closed; make a new one")

        async def attempt() -> ollama.ChatResponse:
            return await self._attempt(request)

        start = time.perf_counter()
        answer, retries = call(attempt, self._timeout, self._where)
        return Reply(
            text=answer.message.content or "",
            prompt_tokens=answer.prompt_eval_count or 0,
            completion_tokens=answer.eval_count or 0,
            seconds=time.perf_counter() - start,
            truncated=answer.done_reason == "length",
            retries=retries,
        )

    def close(self) -> None:
        """Refuse further calls; no connection outlives a call."""
        self._closed = True

    def _client(self) -> ollama.AsyncClient:
        timeout = httpx.Timeout(self._timeout, connect=min(self._timeout, CONNECT_SECONDS))
        return ollama.AsyncClient(self.url, timeout=timeout)

    async def _list(self) -> set[str]:
        try:
            async with self._client() as client:
                return {entry.model or "" for entry in (await client.list()).models}
        except (ollama.ResponseError, *_LOST, *_NONSENSE) as error:
            raise self._explained(error) from error

    async def _attempt(self, request: Request) -> ollama.ChatResponse:
        try:
            async with self._client() as client:
                answer: ollama.ChatResponse = await client.chat(
                    model=self.model,
                    messages=messages(request),
                    format=dict(request.schema),
                    options={
                        "temperature": request.temperature,
                        "num_predict": request.max_tokens,
                        "num_ctx": _CONTEXT_TOKENS,
                        # llama.cpp takes 32 bits, and all of them set for "any seed".
                        "seed": request.seed % 2**31,
                    },
                )
                return answer
        except (ollama.ResponseError, *_LOST, *_NONSENSE) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> BackendError | TransientError:
        if isinstance(error, _LOST):
            lost = f"no Ollama answers at {self.url}; start it, or choose --advisor embedded"
            return TransientError(BackendUnavailableError(lost))
        if not isinstance(error, ollama.ResponseError):
            return BackendError(f"{self.url} answered, but not as Ollama does; check base_url")
        said = one_line(str(error.error), MESSAGE_LIMIT)
        if error.status_code == 404:
            return self._missing()
        if error.status_code in (401, 403):
            return BackendUnavailableError(f"{self.url} refuses access ({said})")
        failed = BackendError(f"{self._where} failed with {error.status_code} ({said})")
        retriable = error.status_code == 429 or error.status_code >= 500
        return TransientError(failed) if retriable else failed

    def _missing(self) -> BackendUnavailableError:
        return BackendUnavailableError(
            f"model is {self.model!r}, which Ollama at {self.url} does not have; "
            f"run: ollama pull {self.model}"
        )


def _checked_host(host: str) -> str:
    """A whole URL; a bare host, as `OLLAMA_HOST` may hold, gets Ollama's own port."""
    whole = host if "://" in host else f"http://{host}"
    parts = urlsplit(whole)
    try:
        port = parts.port
    except ValueError as error:
        raise _no_address(whole) from error
    if parts.scheme not in ("http", "https"):
        raise _no_address(whole)
    return public_url(whole if port or "://" in host else f"http://{parts.netloc}:11434")


def _no_address(url: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"the address of Ollama is {public_url(url)!r}; it must look like {DEFAULT_HOST}"
    )
