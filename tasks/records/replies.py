"""The replies of the language model to a study, stored as they come: a resumed study reuses them.

A failed call is stored too: the study continued without a reply, and must do so again.
"""

import os
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from llmpso.backends.base import Backend, BackendAround, Reply, Request
from llmpso.backends.replies import question_key, reply_of, reply_record
from llmpso.errors import BackendError
from llmpso.running.durable_files import (
    DAMAGED_FOLDER,
    DamagedError,
    append,
    read,
    replace_file,
    sealed,
    set_aside,
    unsealed,
)
from tasks.store.patience import STORE_ERRORS
from tasks.store.state_folders import study_folder, usable_state
from tasks.store.tracker import Tracker

ARTIFACT = "advisor/replies.jsonl"


class StudyReplies(BackendAround):
    """A backend that reuses the replies of the interrupted study, as far as they reach.

    Args:
        backend: Is asked what was not asked before.
        study: Whose replies; new ones are stored on disk and in MLflow before they are used.
    """

    def __init__(self, backend: Backend, study: Tracker) -> None:
        super().__init__(backend)
        self._study = study
        self._file = study_folder(study.run_id) / "replies.jsonl"
        with usable_state(study.run_id):
            self._lines = self._recorded_lines()
        self._recorded: dict[str, deque[dict[str, Any]]] = defaultdict(deque)
        for line in self._lines:
            record = unsealed(line.encode())
            self._recorded[record["key"]].append(record)

    def complete(self, request: Request) -> Reply:
        """The reply of the interrupted study, time and tokens included; else ask.

        Raises:
            BackendError: The model did not answer, now or then.
        """
        key = question_key(self.identity, request)
        if recorded := self._recorded[key]:
            return reply_of(recorded.popleft())
        try:
            reply = self._backend.complete(request)
        except BackendError as error:
            self._record(reply_record(key, error))
            raise
        self._record(reply_record(key, reply))
        return reply

    def _recorded_lines(self) -> list[str]:
        """Whole lines from disk, or from MLflow where it has more: on another machine, say."""
        content, recorded = self._content(), self._study.text(ARTIFACT).encode()
        lines = max(_whole_lines(content), _whole_lines(recorded), key=len)
        if content != "".join(lines).encode():
            replace_file(self._file, "".join(lines))
        return lines

    def _content(self) -> bytes:
        """What is on disk; a file that cannot be read, or has damaged lines, is set aside."""
        if not os.path.lexists(self._file):
            return b""
        try:
            content = read(self._file)
            reason = "" if _is_whole(content) else "some of its lines are damaged"
        except DamagedError as error:
            content, reason = b"", str(error)
        if reason:
            set_aside(self._file, self._file.parent / DAMAGED_FOLDER, reason)
        return content

    def _record(self, record: Mapping[str, Any]) -> None:
        self._lines.append(sealed(record))
        with usable_state(self._study.run_id):
            append(self._file, self._lines[-1])
        try:
            self._study.record_text(ARTIFACT, "".join(self._lines))
        except STORE_ERRORS:
            # It is on disk, and is sent together with the next one.
            return


def _whole_lines(text: bytes) -> list[str]:
    """The lines that are as they were written."""
    lines = []
    for line in _ended_lines(text):
        with suppress(DamagedError):
            unsealed(line)
            lines.append(line.decode())
    return lines


def _is_whole(text: bytes) -> bool:
    """Whether nothing is damaged; a kill may have cut the last line short."""
    return len(_whole_lines(text)) == len(_ended_lines(text))


def _ended_lines(text: bytes) -> list[bytes]:
    return [line for line in text.splitlines(keepends=True) if line.endswith(b"\n")]
