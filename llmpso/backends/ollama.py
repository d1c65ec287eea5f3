"""Models served by Ollama, asked through its own client."""

import importlib
import os
from collections.abc import Mapping
from functools import cache
from ipaddress import ip_address
from types import ModuleType
from typing import Any

import httpx
from pydantic import BaseModel

from llmpso.backends.base import Request
from llmpso.backends.chat_completion import Answer, messages_in_dialect
from llmpso.backends.connection import (
    CHECK_SECONDS,
    bare,
    checked_url,
    http_settings,
    usable_proxy,
)
from llmpso.backends.dialect import Binding, Dialect
from llmpso.backends.http_backend import LOST, Answered, HTTPBackend
from llmpso.backends.response_body import body_of
from llmpso.backends.retries import TransientError, call
from llmpso.backends.server_error import ServerError, server_error_in
from llmpso.errors import BackendError, BackendUnavailableError
from llmpso.urls import masked_url

DEFAULT_HOST = "http://127.0.0.1:11434"
DEFAULT_MODEL = "llama3"
DEFAULT_PORT = 11434

# Ollama's own default is smaller, and it cuts longer prompts without an error.
_CONTEXT_TOKENS = 8192


_READ_AT_IMPORT = ("ollama_host", "http_proxy", "https_proxy", "all_proxy")


class Said(BaseModel):
    """The part of Ollama's answer that is read."""

    message: Answer
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None


class Tag(BaseModel):
    """One entry of the list of models; older servers fill the second field only."""

    model: str = ""
    name: str = ""


class Tags(BaseModel):
    """The models that a server has."""

    models: list[Tag]


class OllamaBackend(HTTPBackend):
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
        url = _checked_host(base_url or os.environ.get("OLLAMA_HOST") or DEFAULT_HOST)
        super().__init__(model, url, f"{model} of Ollama at {url}", timeout)

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

    async def _list(self) -> set[str]:
        try:
            response = await self._response("list")
        except LOST as error:
            raise self._lost(error) from error
        if server_error := server_error_in(response):
            raise self._explained(server_error)
        try:
            tags = Tags.model_validate(body_of(response)).models
        except ValueError as error:
            raise self._unreadable(response) from error
        return {name for tag in tags for name in (tag.model, tag.name)}

    async def _post(self, request: Request, dialect: Dialect) -> httpx.Response:
        return await self._response("chat", **self._body(request, dialect))

    async def _response(self, method: str, **arguments: Any) -> httpx.Response:
        """The response to a call, whatever its status: the client itself does not return it."""
        responses: list[httpx.Response] = []

        async def record(response: httpx.Response) -> None:
            await response.aread()
            responses.append(response)

        settings = http_settings(self.url, self._timeout)
        settings["event_hooks"]["response"].append(record)
        library = _library()
        with usable_proxy(self.url):
            client = library.AsyncClient(self.url, **settings)
        async with client:
            try:
                await getattr(client, method)(**arguments)
            except (library.ResponseError, ValueError, TypeError, AttributeError):
                # Its own reading of a response is not used: we read it ourselves.
                if not responses:
                    raise
        return responses[-1]

    def _body(self, request: Request, dialect: Dialect) -> dict[str, Any]:
        bound = {Binding.SCHEMA: dict(request.schema), Binding.OBJECT: "json"}.get(dialect.binding)
        return (
            {
                "model": self.model,
                "messages": messages_in_dialect(request, dialect),
                "stream": False,
                "options": {
                    "temperature": request.temperature,
                    "num_predict": dialect.room * request.max_tokens,
                    "num_ctx": dialect.room * _CONTEXT_TOKENS,
                    # llama.cpp takes 32 bits, and all of them set for "any seed".
                    "seed": request.seed % 2**31,
                },
            }
            | ({} if bound is None else {"format": bound})
            | ({"think": False} if dialect.disables_thinking else {})
        )

    def _read(self, body: Any) -> Answered:
        said = Said.model_validate(body)
        return Answered(
            text=said.message.text,
            prompt_tokens=said.prompt_eval_count or 0,
            completion_tokens=said.eval_count or 0,
            is_cut=said.done_reason == "length",
            has_reasoning=said.message.has_reasoning,
            reason=f"done_reason is {said.done_reason!r}",
        )

    def _unreadable(self, response: httpx.Response) -> BackendError:
        said = self._safe(response.text) or f"nothing, status {response.status_code}"
        return BackendError(
            f"{self.url} answered, but not as Ollama does; check base_url; it said: {said}"
        )

    def _unreachable(self, cause: str) -> str:
        return f"no Ollama answers at {self.url}; start it, or choose --advisor embedded ({cause})"

    def _explained(self, server_error: ServerError) -> BackendError | TransientError:
        said = self._said(server_error)
        if not server_error.message:
            return BackendError(
                f"{self.url} answered with status {server_error.status}, but not as Ollama does; "
                "check base_url"
            )
        match server_error.status:
            case 200:
                return BackendError(f"{self._where} failed: {said}")
            case 401 | 403:
                return BackendUnavailableError(f"{self.url} refuses access ({said})")
            case 404:
                return self._missing()
        failed = BackendError(f"{self._where} failed with {server_error.status} ({said})")
        return TransientError(failed, server_error.wait) if server_error.may_pass else failed

    def _missing(self) -> BackendUnavailableError:
        return BackendUnavailableError(
            f"model is {self.model!r}, which Ollama at {self.url} does not have; "
            f"run: ollama pull {self.model}"
        )


@cache
def _library() -> ModuleType:
    """Ollama's client, imported without the variables that can make the import fail.

    It makes a client of its own as it is imported, by an address and proxies of the environment,
    and fails there if one of them cannot be used.
    """
    names = [name for name in os.environ if name.lower() in _READ_AT_IMPORT]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        return importlib.import_module("ollama")
    finally:
        os.environ.update(hidden)


def _checked_host(text: str) -> str:
    """A whole URL from what `OLLAMA_HOST` may hold, read as Ollama itself reads it.

    It may be quoted, and lack scheme, host or port. A server that listens everywhere is found
    on this machine.
    """
    scheme, found, place = bare(text).rpartition("://")
    place, slash, path = place.partition("/")
    user, at, host = place.rpartition("@")
    host, port = _split(host)
    port = port or ("" if found else f":{DEFAULT_PORT}")
    url = f"{scheme or 'http'}://{user}{at}{_reached(host)}{port}{slash}{path}"
    return masked_url(checked_url(url, "the address of Ollama", DEFAULT_HOST)).rstrip("/")


def _split(host: str) -> tuple[str, str]:
    """A host, and its port with the colon if it has one."""
    if host.endswith("]") or _is_ipv6(host):
        return host, ""
    name, colon, port = host.rpartition(":")
    return (name, f":{port}" if port else "") if colon else (host, "")


def _reached(host: str) -> str:
    """Where to find a server that listens at a host."""
    name = host.strip("[]")
    if name in ("", "0.0.0.0"):  # noqa: S104 - that is what is replaced
        return "127.0.0.1"
    if _is_ipv6(name):
        return "[::1]" if ip_address(name).is_unspecified else f"[{name}]"
    return host


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False
