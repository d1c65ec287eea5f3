"""A model whose every reply is recorded in a file, and a replay that needs no model."""

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from llmpso.backends.base import Backend, Reply, Request
from llmpso.backends.replies import question_key, reply_of, reply_record
from llmpso.errors import BackendError, SpecError


class RecordedBackend:
    """Asks each question once: the reply is stored as a line of JSON under the question's hash.

    The first line names the model: one file contains the replies of one model. Replies come back
    exactly as they were, time and tokens of the first call included, so that a benchmark can be
    replayed byte for byte. One process at a time may record.

    Args:
        path: The file; compressed if its name ends in `.gz`.
        backend: Who is asked what the file does not hold; None to replay only.

    Raises:
        SpecError: The file holds another model's replies, or no replies, or cannot be read.
    """

    def __init__(self, path: Path, backend: Backend | None = None) -> None:
        self.path = path
        self._backend = backend
        lines = _lines(path) if path.exists() else iter(())
        self._identity: dict[str, str] | None = next(lines, {}).get("identity")
        if self._identity is None:
            self._begin()
        elif backend is not None and self._identity != dict(backend.identity):
            raise SpecError(f"{path} holds replies of {self._identity}, not {backend.identity}")
        self._records = {line["key"]: line for line in lines}

    @property
    def identity(self) -> Mapping[str, str]:
        """That of the model that gave the replies."""
        return self._identity or {}

    def complete(self, request: Request) -> Reply:
        """The recorded reply, or a new one, which is then recorded.

        Raises:
            BackendError: The model did not answer, or there is none and the question is new.
        """
        key = question_key(self.identity, request)
        if key not in self._records:
            if self._backend is None:
                raise BackendError(f"{self.path} holds no reply to question {key[:12]}")
            self._records[key] = reply_record(key, self._backend.complete(request))
            self._append(self._records[key])
        return reply_of(self._records[key])

    def close(self) -> None:
        """Close the backend behind."""
        if self._backend is not None:
            self._backend.close()

    def _begin(self) -> None:
        if self._backend is None:
            raise SpecError(f"{self.path} holds no recorded replies; ask a model first")
        self._identity = dict(self._backend.identity)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._append({"identity": self._identity})

    def _append(self, line: Mapping[str, Any]) -> None:
        with _opened(self.path, "at") as file:
            file.write(json.dumps(line) + "\n")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with _opened(path, "rt") as file:
            for line in file:
                yield json.loads(line)
    except (OSError, EOFError, ValueError) as error:
        raise SpecError(f"{path} cannot be read as recorded replies: {error}") from error


def _opened(path: Path, mode: str) -> IO[str]:
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, mode, encoding="utf-8"))
    return path.open(mode, encoding="utf-8")
