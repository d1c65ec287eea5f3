"""The one interface to every language model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from llmpso.errors import SpecError


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """A question whose answer must be JSON of the given schema."""

    messages: tuple[Message, ...]
    schema: Mapping[str, Any]
    """JSON schema that binds the reply."""
    temperature: float = 0.0
    max_tokens: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no model takes."""
        if not self.messages:
            raise SpecError("messages is empty; a request needs at least one message")
        if not 0 <= self.temperature <= 2:
            raise SpecError(f"temperature is {self.temperature!r}; it must be in [0, 2]")
        if self.max_tokens < 1:
            raise SpecError(f"max_tokens is {self.max_tokens!r}; it must be at least 1")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered, and what it cost."""

    text: str
    """The reply as received: meant to be JSON, not yet checked."""
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    """Wall time of the call, retries included."""
    truncated: bool = False
    """The model ran into `max_tokens`: the text is not whole."""
    retries: int = 0
    """Transport errors that were retried."""
    cached: bool = False
    """Answered from a cache, without a call to the model."""
    notes: tuple[str, ...] = ()
    """Options of the request that were left out because the server refuses them."""

    def __post_init__(self) -> None:
        """Accept a list, which JSON makes of the notes."""
        object.__setattr__(self, "notes", tuple(self.notes))


class Backend(Protocol):
    """Transport to one language model, without prompts, parsing or policy."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What identifies this model: backend, model, file hash, URL; never a key."""
        ...

    def complete(self, request: Request) -> Reply:
        """Ask once.

        Raises:
            BackendUnavailableError: The model cannot be reached: no server, wrong key, no quota.
            BackendError: It could be reached but did not answer (time-out, server error).
        """
        ...

    def close(self) -> None:
        """Free what the backend holds; asking again afterwards is an error."""
        ...


class BackendAround:
    """Wraps another backend; base of backends that differ in `complete` only."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def identity(self) -> Mapping[str, str]:
        """What the backend behind says of itself."""
        return self._backend.identity

    def close(self) -> None:
        """Close the backend behind."""
        self._backend.close()
