"""Choosing the language model: the one named, or the best one available."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmpso.backends.base import Backend
from llmpso.errors import BackendUnavailableError, SpecError
from llmpso.extras import needed_by

CHECK_SECONDS = 10.0
PROBE_SECONDS = 1.0
"""How long `auto` waits for an Ollama that the user did not name."""


@dataclass(frozen=True, slots=True)
class ChosenBackend:
    """A backend that was found to answer."""

    backend: Backend
    reason: str
    """Which one and why, in one line."""


def choose_backend(
    name: str, model: str | None = None, base_url: str | None = None, timeout: float | None = None
) -> ChosenBackend:
    """Set up a backend and check that it answers; the embedded model is fetched if necessary.

    Args:
        name: `openai`, `ollama`, `embedded`, or `auto`: OpenAI if `OPENAI_API_KEY` or
            `base_url` is given, else an Ollama that has the model, else the embedded model.
        model: Name of the model; for `embedded`, a GGUF file.
        base_url: Address of an Ollama, or of a server that speaks OpenAI's protocol.
        timeout: Seconds for one call; each backend has its own default.

    Raises:
        SpecError: There is no backend of this name, or it takes no address.
        BackendUnavailableError: It does not answer.
    """
    options = {"model": model, "base_url": base_url, "timeout": timeout}
    given = {key: value for key, value in options.items() if value is not None}
    match name:
        case "auto":
            return _auto(given)
        case "openai":
            return _openai(given, "as asked for")
        case "ollama":
            return _ollama(given, "as asked for", CHECK_SECONDS)
        case "embedded":
            return _embedded(given, "as asked for")
    raise SpecError(f"advisor is {name!r}; it must be auto, openai, ollama or embedded")


def _auto(given: dict[str, Any]) -> ChosenBackend:
    if "base_url" in given:
        return _openai(given, "its base_url is given")
    if os.environ.get("OPENAI_API_KEY"):
        return _openai(given, "OPENAI_API_KEY is set")
    no_key = "OPENAI_API_KEY is not set"
    try:
        return _ollama(given, no_key, PROBE_SECONDS)
    except BackendUnavailableError as error:
        no_ollama, _, _ = str(error).partition(";")
        return _embedded(given, f"{no_key}, and {no_ollama}")


# Each client is imported only where it is used: they take a second, and may be broken.


def _openai(given: dict[str, Any], why: str) -> ChosenBackend:
    with needed_by("the advisor 'openai'", "openai", BackendUnavailableError):
        from llmpso.backends.openai import OpenAIBackend
    backend = OpenAIBackend(**given)
    backend.check()
    return ChosenBackend(backend, f"{backend.model} at {backend.url}: {why}")


def _ollama(given: dict[str, Any], why: str, seconds: float) -> ChosenBackend:
    with needed_by("the advisor 'ollama'", "ollama", BackendUnavailableError):
        import ollama  # noqa: F401 - the backend itself imports it later, for one address

        from llmpso.backends.ollama import OllamaBackend
    backend = OllamaBackend(**given)
    backend.check(seconds)
    return ChosenBackend(backend, f"{backend.model} of Ollama at {backend.url}: {why}")


def _embedded(given: dict[str, Any], why: str) -> ChosenBackend:
    with needed_by("the advisor 'embedded'", "embedded", BackendUnavailableError):
        from llmpso.backends.embedded import EmbeddedBackend
    if "base_url" in given:
        raise SpecError(f"base_url is {given['base_url']!r}; the embedded model has no address")
    path = Path(given["model"]) if "model" in given else None
    timeout = {"timeout": given["timeout"]} if "timeout" in given else {}
    backend = EmbeddedBackend(path, **timeout)
    backend.check()
    return ChosenBackend(backend, f"embedded {backend.identity['model']}: {why}")
