"""A model with prepared answers: the test double of every backend."""

from collections.abc import Callable, Iterable, Mapping

from llmpso.backends.base import Reply, Request
from llmpso.errors import BackendError

Answer = str | Reply | Exception
"""A text, a whole reply, or the error to raise."""


class ScriptedBackend:
    """Answers from a queue, or from a function of the request, and remembers the requests."""

    def __init__(self, answers: Iterable[Answer] | Callable[[Request], Answer]) -> None:
        self._answer = answers if callable(answers) else _queue(answers)
        self._closed = False
        self.requests: list[Request] = []

    @property
    def identity(self) -> Mapping[str, str]:
        """Names no real model."""
        return {"backend": "scripted", "model": "scripted"}

    def check(self) -> None:
        """A script is always at hand."""

    def complete(self, request: Request) -> Reply:
        """The next answer.

        Raises:
            BackendError: The script has come to its end, or the backend is closed.
            Exception: The script says so.
        """
        if self._closed:
            raise BackendError("the scripted backend is closed; make a new one")
        self.requests.append(request)
        answer = self._answer(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Reply):
            return answer
        return Reply(answer, prompt_tokens=0, completion_tokens=0, seconds=0.0)

    def close(self) -> None:
        """Refuse further requests."""
        self._closed = True


def _queue(answers: Iterable[Answer]) -> Callable[[Request], Answer]:
    left = iter(list(answers))

    def next_answer(request: Request) -> Answer:
        end = BackendError(f"the script has no answer to: {request.messages[-1].content[:80]!r}")
        return next(left, end)

    return next_answer
