"""Replies as they are stored: under one key for each question, with one record for each reply.

Three places store them by these: Prefect's cache (across studies), the files of a study (so that
it can be resumed) and the recorded replies of a benchmark (so that it can be replayed).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from llmpso.backends.base import Reply, Request
from llmpso.errors import BackendError


def question_key(identity: Mapping[str, str], request: Request) -> str:
    """Distinguishes one question to one model from every other.

    Args:
        identity: That of the backend; never a secret.
        request: The question.
    """
    question = {"identity": dict(identity), "request": asdict(request)}
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


def reply_record(key: str, reply: Reply | BackendError) -> dict[str, Any]:
    """A reply, or that there was none, as JSON holds it."""
    if isinstance(reply, Reply):
        return {"key": key, "reply": asdict(reply)}
    return {"key": key, "error": str(reply)}


def reply_of(record: Mapping[str, Any]) -> Reply:
    """The reply of a record.

    Raises:
        BackendError: The model had not answered.
    """
    if "reply" not in record:
        raise BackendError(record["error"])
    return Reply(**record["reply"])
