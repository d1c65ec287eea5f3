"""What all models behind HTTP share: requests adapt to the server, errors are explained."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from llmpso.backends.base import Reply, Request
from llmpso.backends.connection import MESSAGE_LIMIT, RedirectedError, lost
from llmpso.backends.dialect import Dialect
from llmpso.backends.response_body import body_of
from llmpso.backends.retries import TransientError, call
from llmpso.backends.server_error import ServerError, server_error_in
from llmpso.errors import BackendError
from llmpso.text import one_line

LOST = (httpx.HTTPError, RedirectedError, OSError)
"""What is raised where no answer comes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """The part of a model's answer that is used."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    is_cut: bool = False
    """It ran into the limit of tokens."""
    has_reasoning: bool = False
    """The model reasoned before its answer."""
    reason: str = ""
    """Why there is no text."""


def _with_tokens_of(cut: Sequence[Answered], answered: Answered) -> Answered:
    """An answer with the tokens of those before it that were cut off: they are paid for, too."""
    return replace(
        answered,
        prompt_tokens=answered.prompt_tokens + sum(one.prompt_tokens for one in cut),
        completion_tokens=answered.completion_tokens + sum(one.completion_tokens for one in cut),
    )


class HTTPBackend(ABC):
    """A model behind HTTP; what its server refuses is left out of all later requests.

    Attributes:
        model: Name of the model.
        url: Address of the server, without secrets.
    """

    def __init__(self, model: str, url: str, where: str, timeout: float) -> None:
        self.model = model
        self.url = url
        self._where = where
        self._timeout = timeout
        self._dialect = Dialect()
        self._closed = False

    def complete(self, request: Request) -> Reply:
        """Ask once; see `Backend`."""
        if self._closed:
            raise BackendError(f"the backend for {self._where} is closed; make a new one")

        async def attempt() -> tuple[Answered, Dialect]:
            return await self._attempt(request)

        start = time.perf_counter()
        (answered, dialect), retries = call(attempt, self._timeout, self._where)
        if not answered.text.strip() and not answered.is_cut:
            why = self._safe(answered.reason)
            raise BackendError(f"{self._where} answered without text: {why}")
        return Reply(
            text=self._masked(answered.text),
            prompt_tokens=answered.prompt_tokens,
            completion_tokens=answered.completion_tokens,
            seconds=time.perf_counter() - start,
            truncated=answered.is_cut,
            retries=retries,
            notes=dialect.notes(request),
        )

    def close(self) -> None:
        """Refuse further calls; no connection outlives a call."""
        self._closed = True

    @abstractmethod
    async def _post(self, request: Request, dialect: Dialect) -> httpx.Response:
        """Send a question; the response, whatever its status."""

    @abstractmethod
    def _read(self, body: Any) -> Answered:
        """The answer in a response's body; `ValueError` if there is none."""

    @abstractmethod
    def _explained(self, server_error: ServerError) -> BackendError | TransientError:
        """A server's error as an error that says what to do."""

    @abstractmethod
    def _unreadable(self, response: httpx.Response) -> BackendError:
        """The error for a response that holds no answer."""

    @abstractmethod
    def _unreachable(self, cause: str) -> str:
        """What to say where no answer comes."""

    async def _attempt(self, request: Request) -> tuple[Answered, Dialect]:
        """Ask in the present dialect, then in others for as long as that may help."""
        first, last, cut = self._dialect, ("", ""), list[Answered]()
        while True:
            dialect = self._dialect
            response = await self._sent(request, dialect)
            server_error = server_error_in(response)
            if server_error is None:
                answered = self._answer(response)
                roomier = dialect.roomier() if answered.is_cut and answered.has_reasoning else None
                if roomier is None:
                    return _with_tokens_of(cut, answered), dialect
                cut.append(answered)
                self._adapt(dialect, roomier, "the model's reasoning left no room for an answer")
                continue
            # The same error about what was left out already: no other form helps.
            is_in_vain = server_error.message == last[0] and last[1] in server_error.message
            adapted = None if is_in_vain else dialect.adapted(server_error)
            if adapted is None:
                self._dialect = dialect if server_error.may_pass else first
                raise self._explained(server_error)
            last = server_error.message, self._adapt(dialect, adapted, server_error.message)

    def _adapt(self, before: Dialect, after: Dialect, why: str) -> str:
        """Change the dialect from now on; returns what is left out."""
        refused, instead = after.changes(before)
        self._dialect = after
        _log.warning(
            "%s refuses %s (%s); from now on %s", self._where, refused, self._safe(why), instead
        )
        return refused

    async def _sent(self, request: Request, dialect: Dialect) -> httpx.Response:
        try:
            return await self._post(request, dialect)
        except LOST as error:
            raise self._lost(error) from error

    def _answer(self, response: httpx.Response) -> Answered:
        try:
            return self._read(body_of(response))
        except ValueError as error:
            raise self._unreadable(response) from error

    def _lost(self, error: Exception) -> BackendError | TransientError:
        cause = self._safe(str(error) or type(error).__name__)
        return lost(self.url, error, self._unreachable(cause))

    def _said(self, server_error: ServerError) -> str:
        return self._safe(server_error.message) or f"status {server_error.status}"

    def _safe(self, text: str) -> str:
        """A server's message on one line; some servers repeat the key in it."""
        return one_line(self._masked(text), MESSAGE_LIMIT)

    def _masked(self, text: str) -> str:
        """A server's message without the key; there is no key here."""
        return text
