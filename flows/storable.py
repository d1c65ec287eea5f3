"""Refuses secrets in the parameters of a flow: everybody can read those of a run."""

from collections.abc import Iterator, Mapping
from typing import Any

from llmpso.errors import SpecError
from llmpso.option_group import Options
from llmpso.urls import check_storable as check_address

INSTEAD = {
    "llm_url": "put a key into OPENAI_API_KEY, or the whole address into OPENAI_BASE_URL or "
    "OLLAMA_HOST",
    "address": "give only the address of the cluster, and restrict its network or use TLS",
}
"""Where the secrets of an option belong; in other addresses they are not allowed."""

OTHERWISE = "fetch the file, and name it by its path"


def check_storable(options: Options) -> None:
    """Refuse options that would store a secret, before they are stored.

    Raises:
        SpecError: An address holds a login, a query or a fragment; or `notify` is an address,
            any part of which may be a token.
    """
    check_options(options.model_dump())


def check_options(options: Mapping[str, Any]) -> None:
    """The same for options by their names."""
    for name, text in _texts(options):
        if name in INSTEAD or "://" in text:
            check_address(name, text, INSTEAD.get(name, OTHERWISE))
        if name == "notify" and "://" in text:
            raise SpecError(
                "notify is an address, which would be stored with the run for everybody to read; "
                "save it as a notification block of Prefect, and name that as TYPE/NAME"
            )


def _texts(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """All texts, with the names of their options."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _texts(value)
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str):
                yield name, text
