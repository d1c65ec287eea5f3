"""A planted key is nowhere but where it is used."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import signature
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows.plan import TuneOptions, prepare
from flows.tune import tune
from llmpso.errors import SpecError

KEY = "sk-planted-9f8e7d6c5b4a"


@pytest.fixture
def tattler(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """An OpenAI-compatible server that repeats the key in errors, replies and a model's name."""
    keys: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            self.send({"data": [{"id": "m"}]})

        def do_POST(self) -> None:  # noqa: N802
            self.rfile.read(int(self.headers["Content-Length"]))
            said = self.headers["Authorization"]
            keys.append(said)
            if len(keys) % 2:
                return self.send({"error": {"message": f"no luck with {said}"}}, 500)
            message = {"role": "assistant", "content": f"I was asked with {said}"}
            self.send({"choices": [{"message": message, "finish_reason": "stop"}]})

        def send(self, body: object, status: int = 200) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None: ...

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/v1", keys
        http.shutdown()
        thread.join()


def test_a_key_is_in_no_log_record_result_or_cache(
    prefect_server, mlflow_store, bowl, tattler, tmp_path: Path, monkeypatch, caplog, capfd
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    url, keys = tattler
    with caplog.at_level(logging.DEBUG):
        model = {"advisor": "openai", "llm_url": url, "llm_model": "m"}
        summary = tune(bowl, method="paper", evaluations=18, warm_up=1, **model)
    assert set(keys) == {f"Bearer {KEY}"}
    assert summary.llm_problems > 0
    assert KEY not in json.dumps(summary.record())
    assert KEY not in caplog.text + "".join(capfd.readouterr())

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"mlflow.db", "calls.jsonl", "replies.jsonl"} <= names
    assert any("results" in path.parts for path in files)
    guilty = [path for path in files if KEY.encode() in path.read_bytes() or KEY in path.name]
    assert guilty == []

    with get_client(sync_client=True) as prefect:
        for what in ("flow_runs", "task_runs", "logs", "artifacts"):
            rows = prefect.request("POST", f"/{what}/filter", json={"limit": 200}).text
            assert len(rows) > 2
            assert KEY not in rows


def test_an_address_with_a_password_is_refused_and_not_repeated(mlflow_store, bowl) -> None:
    defaults = {name: p.default for name, p in signature(tune.fn).parameters.items()}
    given = {"objective": bowl, "advisor": "openai", "llm_url": "http://me:hunter2@127.0.0.1/v1"}
    with pytest.raises(SpecError, match="llm_url holds a user name or password") as caught:
        prepare(TuneOptions(**(defaults | given)))
    assert "hunter2" not in str(caught.value)
