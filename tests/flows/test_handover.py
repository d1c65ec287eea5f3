"""A command asks its model's server once, runs what it checked, and closes it once."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flows import retune, tune
from flows.command_line import INTERRUPTED, USAGE_ERROR, run_module
from flows.handover import handed_over, prepared_once
from llmpso.backends.openai import OpenAIBackend

pytestmark = pytest.mark.usefixtures("blank_pictures")


@dataclass
class Plan:
    """Counts what becomes of it."""

    given: object
    n_closed: int = 0

    def close(self) -> None:
        self.n_closed += 1


@dataclass
class Preparer:
    plans: list[Plan] = field(default_factory=list)

    def __call__(self, given: object) -> Plan:
        self.plans.append(Plan(given))
        return self.plans[-1]


def test_the_second_call_takes_what_the_first_prepared_and_owns_it() -> None:
    preparer = Preparer()
    prepare = prepared_once(preparer)
    with handed_over():
        checked = prepare([1])
        with closing(prepare([1])) as taken:
            assert taken is checked
        assert prepare([1]) is not checked
    assert [plan.n_closed for plan in preparer.plans] == [1, 1]


def test_other_arguments_are_prepared_again_and_what_is_left_is_closed() -> None:
    preparer = Preparer()
    prepare = prepared_once(preparer)
    with handed_over():
        prepare([1])
        prepare([2])
    assert [(plan.given, plan.n_closed) for plan in preparer.plans] == [([1], 1), ([2], 1)]


def test_outside_of_a_command_each_call_prepares() -> None:
    preparer = Preparer()
    prepare = prepared_once(preparer)
    assert prepare([1]) is not prepare([1])
    assert [plan.n_closed for plan in preparer.plans] == [0, 0]


@pytest.fixture
def n_closed(monkeypatch: pytest.MonkeyPatch) -> list[OpenAIBackend]:
    """The backends that were closed, as often as they were."""
    closed: list[OpenAIBackend] = []
    close = OpenAIBackend.close

    def noted(self: OpenAIBackend) -> None:
        closed.append(self)
        close(self)

    monkeypatch.setattr(OpenAIBackend, "close", noted)
    return closed


@pytest.fixture
def model_server() -> Iterator[tuple[str, list[str]]]:
    """The address of a model's server, and the paths it was asked for."""
    asked: list[str] = []
    reply = json.dumps({"configuration": {"x": 1.5, "n": 2}})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            asked.append(self.path)
            self.send({"data": [{"id": "m"}]})

        def do_POST(self) -> None:  # noqa: N802
            asked.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send({"choices": [{"message": {"content": reply}}]})

        def send(self, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/v1", asked
        http.shutdown()
        thread.join()


def run(monkeypatch: pytest.MonkeyPatch, command, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["flows.tune", *arguments])
    return run_module(command, "flows.tune")


def asking(url: str) -> list[str]:
    return ["--advisor", "openai", "--llm-model", "m", "--llm-url", url, "--workers", "1"]


def test_a_command_asks_for_the_models_once_and_closes_the_backend_once(
    prefect_server, monkeypatch, capsys, mlflow_store, bowl, model_server, n_closed
) -> None:
    url, asked = model_server
    arguments = [*asking(url), "--threads", "1", "--evaluations", "4", "--quiet", "--json"]
    assert run(monkeypatch, tune.APP, bowl, *arguments) == 0
    assert asked == ["/v1/models", "/v1/chat/completions"]
    assert len(n_closed) == 1
    assert json.loads(capsys.readouterr().out)["advisor"].startswith(f"m at {url}")


def test_an_interrupted_command_closes_it_too(
    prefect_server, monkeypatch, capsys, mlflow_store, bowl, model_server, n_closed
) -> None:
    def interrupts(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    url, asked = model_server
    monkeypatch.setattr(tune, "run_study", interrupts)
    arguments = [*asking(url), "--threads", "1", "--evaluations", "4", "--quiet"]
    assert run(monkeypatch, tune.APP, bowl, *arguments) == INTERRUPTED
    assert asked == ["/v1/models"]
    assert len(n_closed) == 1


def test_what_was_checked_and_cannot_begin_is_closed(
    prefect_server, monkeypatch, capsys, mlflow_store, bowl, model_server, n_closed
) -> None:
    url, _ = model_server
    # The bowl has no hold-out set: found after the model's server has answered.
    assert run(monkeypatch, retune.APP, "--objective", bowl, *asking(url)) == USAGE_ERROR
    assert "has no held_out(model)" in capsys.readouterr().err
    assert len(n_closed) == 1
