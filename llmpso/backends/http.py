"""What all models behind HTTP share: a call adapts to its server, and says what came of it."""

import logging
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import httpx

from llmpso.backends.base import Reply, Request
from llmpso.backends.body import body_of
from llmpso.backends.fault import Fault, fault_of
from llmpso.backends.form import Form
from llmpso.backends.transport import (
    MESSAGE_LIMIT,
    RedirectedError,
    TransientError,
    call,
    lost,
)
from llmpso.errors import BackendError
from llmpso.text import one_line

LOST = (httpx.HTTPError, RedirectedError, OSError)
"""What is raised where no answer comes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """What is read of a model's answer."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    is_cut: bool = False
    """It ran into the limit of tokens."""
    is_thought: bool = False
    """Some of those tokens went into thoughts."""
    reason: str = ""
    """Why there is no text."""


class HTTPBackend(ABC):
    """A model behind HTTP; what its server refuses is given up for as long as this lives.

    Attributes:
        model: Name of the model.
        url: Address of the server, without secrets.
    """

    def __init__(self, model: str, url: str, where: str, timeout: float) -> None:
        self.model = model
        self.url = url
        self._where = where
        self._timeout = timeout
        self._form = Form()
        self._closed = False

    def complete(self, request: Request) -> Reply:
        """Ask once; see `Backend`."""
        if self._closed:
            raise BackendError(f"the backend for {self._where} is closed; make a new one")

        async def attempt() -> tuple[Answered, Form]:
            return await self._attempt(request)

        start = time.perf_counter()
        (answered, form), retries = call(attempt, self._timeout, self._where)
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
            notes=form.notes(request),
        )

    def close(self) -> None:
        """Refuse further calls; no connection outlives a call."""
        self._closed = True

    @abstractmethod
    async def _post(self, request: Request, form: Form) -> httpx.Response:
        """Send a question; the response, whatever its status."""

    @abstractmethod
    def _read(self, body: Any) -> Answered:
        """The answer in a response's body; `ValueError` if there is none."""

    @abstractmethod
    def _explained(self, fault: Fault) -> BackendError | TransientError:
        """A complaint as an error that a person can act on."""

    @abstractmethod
    def _unreadable(self, response: httpx.Response) -> BackendError:
        """The error for a response that holds no answer."""

    @abstractmethod
    def _unreachable(self, cause: str) -> str:
        """What to say where no answer comes."""

    async def _attempt(self, request: Request) -> tuple[Answered, Form]:
        """Ask in the present form, and in another one for as long as that may help."""
        first, told = self._form, ("", "")
        while True:
            form = self._form
            response = await self._sent(request, form)
            fault = fault_of(response)
            if fault is None:
                answered = self._answer(response)
                roomier = form.roomier() if answered.is_cut and answered.is_thought else None
                if roomier is None:
                    return answered, form
                self._adapt(form, roomier, "the model's thoughts left no room for an answer")
                continue
            # The same complaint of what was given up: no other form helps.
            is_in_vain = fault.words == told[0] and told[1] in fault.words
            adapted = None if is_in_vain else form.adapted(fault)
            if adapted is None:
                self._form = form if fault.may_pass else first
                raise self._explained(fault)
            told = fault.words, self._adapt(form, adapted, fault.words)

    def _adapt(self, before: Form, after: Form, why: str) -> str:
        """Ask otherwise from now on; what is given up."""
        refused, instead = after.changes(before)
        self._form = after
        _log.warning(
            "%s refuses %s (%s); from now on %s", self._where, refused, self._safe(why), instead
        )
        return refused

    async def _sent(self, request: Request, form: Form) -> httpx.Response:
        try:
            return await self._post(request, form)
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

    def _said(self, fault: Fault) -> str:
        return self._safe(fault.words) or f"status {fault.status}"

    def _safe(self, text: str) -> str:
        """A server's words on one line; some servers repeat the key in them."""
        return one_line(self._masked(text), MESSAGE_LIMIT)

    def _masked(self, text: str) -> str:
        """A server's words without a key; there is none here."""
        return text
