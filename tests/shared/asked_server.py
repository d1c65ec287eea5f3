"""The OpenAI backend at a server of the tests, a good answer of it, and an error."""

from typing import Any

from llmpso.backends.openai import OpenAIBackend

GOOD = '{"layers": 2}'


def backend(url: str, **options: Any) -> OpenAIBackend:
    return OpenAIBackend("m", f"{url}/v1", api_key="sk-very-secret", **options)


def error(message: str, **more: object) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"} | more}
