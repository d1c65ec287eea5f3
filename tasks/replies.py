"""The language model's part in a study, kept along the way: an interrupted study hears it again.

Also that there was no reply is kept: the study went on without, and must do so again.
"""

import json
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from llmpso.backends.base import Backend, BackendAround, Reply, Request
from llmpso.errors import BackendError
from llmpso.running.fingerprint import digest
from tasks.lease import study_folder
from tasks.tracking import STORE_ERRORS, StudyRun, record_text, recorded_text

ARTIFACT = "advisor/replies.jsonl"


class KeptReplies(BackendAround):
    """A backend whose replies are those of the interrupted study, as far as they reach.

    Args:
        backend: Who is asked what was not asked before.
        study: Whose replies; new ones are kept on disk and in MLflow before they are used.
    """

    def __init__(self, backend: Backend, study: StudyRun) -> None:
        super().__init__(backend)
        self._study = study
        self._file = study_folder(study.run_id) / "replies.jsonl"
        self._lines = self._kept_lines()
        self._kept: dict[str, deque[dict[str, Any]]] = defaultdict(deque)
        for line in self._lines:
            record = json.loads(line)
            self._kept[record["question"]].append(record)

    def complete(self, request: Request) -> Reply:
        """The reply of the interrupted study, time and tokens included; else ask.

        Raises:
            BackendError: The model did not answer, now or then.
        """
        question = digest(asdict(request))
        if kept := self._kept[question]:
            record = kept.popleft()
            if record["reply"] is None:
                raise BackendError(record["error"])
            return Reply(**record["reply"])
        try:
            reply = self._backend.complete(request)
        except BackendError as error:
            self._keep({"question": question, "reply": None, "error": str(error)})
            raise
        self._keep({"question": question, "reply": asdict(reply)})
        return reply

    def _kept_lines(self) -> list[str]:
        """Whole lines from disk, which are never fewer; on another machine, from MLflow."""
        if not self._file.exists():
            self._file.write_text(recorded_text(self._study, ARTIFACT), encoding="utf-8")
        text = self._file.read_text(encoding="utf-8")
        return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def _keep(self, record: Mapping[str, Any]) -> None:
        self._lines.append(json.dumps(record) + "\n")
        self._file.write_text("".join(self._lines), encoding="utf-8")
        try:
            record_text(self._study, ARTIFACT, "".join(self._lines))
        except STORE_ERRORS:
            # It is on disk; the next one brings it along.
            return
