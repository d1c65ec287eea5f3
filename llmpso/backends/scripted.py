"""A model that says what it was told to say: the test double of every backend."""

from collections.abc import Callable, Iterable, Mapping

from llmpso.backends.base import Reply, Request
from llmpso.errors import BackendError

Answer = str | Reply | BackendError
"""A text, a whole reply, or the error to raise."""


class ScriptedBackend:
    """Answers from a queue, or from a function of the request, and remembers the requests."""

    def __init__(self, answers: Iterable[Answer] | Callable[[Request], Answer]) -> None:
        self._answer = answers if callable(answers) else _queue(answers)
        self.requests: list[Request] = []

    @property
    def identity(self) -> Mapping[str, str]:
        """Names no real model."""
        return {"backend": "scripted", "model": "scripted"}

    def complete(self, request: Request) -> Reply:
        """The next answer.

        Raises:
            BackendError: The script says so, or has come to its end.
        """
        self.requests.append(request)
        answer = self._answer(request)
        if isinstance(answer, BackendError):
            raise answer
        if isinstance(answer, Reply):
            return answer
        return Reply(answer, prompt_tokens=0, completion_tokens=0, seconds=0.0)

    def close(self) -> None:
        """Nothing to free."""


def _queue(answers: Iterable[Answer]) -> Callable[[Request], Answer]:
    left = iter(list(answers))

    def next_answer(request: Request) -> Answer:
        end = BackendError(f"the script has no answer to: {request.messages[-1].content[:80]!r}")
        return next(left, end)

    return next_answer
