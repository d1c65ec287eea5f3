"""What is given to a flow is stored with its run, for everybody to read: no secrets there."""

from collections.abc import Iterable, Mapping
from typing import Any

from llmpso.addresses import check_storable
from llmpso.errors import SpecError

INSTEAD = {
    "llm_url": "put a key into OPENAI_API_KEY, or the whole address into OPENAI_BASE_URL or "
    "OLLAMA_HOST",
    "address": "name the address of the cluster alone, and keep others out by its network or TLS",
}
"""Where the secrets of an option belong; those of any other address stay out."""

OTHERWISE = "fetch the file, and name it by its path"


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that would store a secret, before they are stored.

    Raises:
        SpecError: An address holds a login, a query or a fragment; or `notify` is an address,
            any part of which may be a token.
    """
    for name, value in options.items():
        for text in _texts(value):
            if name in INSTEAD or "://" in text:
                check_storable(name, text, INSTEAD.get(name, OTHERWISE))
    if "://" in str(options.get("notify")):
        raise SpecError(
            "notify is an address, which would be stored with the run for everybody to read; "
            "save it as a notification block of Prefect, and name that as TYPE/NAME"
        )


def _texts(value: Any) -> Iterable[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return (text for text in values if isinstance(text, str))
