"""What every backend must do, whichever model is behind it."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from llmpso.backends.base import Backend, Message, Reply, Request
from llmpso.errors import BackendError
from scripted_backend import ScriptedBackend

SCHEMA = {
    "type": "object",
    "properties": {"layers": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["layers"],
    "additionalProperties": False,
}
QUESTION = Request(
    (
        Message("system", "You tune neural networks and answer with JSON only."),
        Message("user", "How many layers should a small network have?"),
    ),
    SCHEMA,
    temperature=0.7,
    max_tokens=40,
    seed=3,
)


def script(request: Request) -> Reply:
    text = '{"layers": 2}' if request.max_tokens > 3 else '{"'
    return Reply(text, 20, min(8, request.max_tokens), 0.1, truncated=request.max_tokens <= 3)


@pytest.fixture(scope="module")
def llama() -> Iterator[Any]:
    """The real local model: in process, and over HTTP in OpenAI's protocol."""
    import xllamacpp

    from llmpso.backends.model_file import fetch_model

    params = xllamacpp.CommonParams()
    params.model.path = str(fetch_model())
    params.n_ctx = 2048
    params.cpuparams.n_threads = 1
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.verbosity = 0
    params.ui = False
    yield xllamacpp.Server(params)


@pytest.fixture(scope="module")
def ollama_url(llama: Any) -> Iterator[str]:
    """A server that speaks Ollama's protocol and answers from the real model."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            assert self.path == "/api/tags"
            self.send({"models": [{"model": "llama3:latest", "name": "llama3:latest"}]})

        def do_POST(self) -> None:  # noqa: N802
            assert self.path == "/api/chat"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            options = body["options"]
            done = llama.handle_chat_completions(
                {
                    "messages": body["messages"],
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "format", "schema": body["format"]},
                    },
                    "temperature": options["temperature"],
                    "max_tokens": options["num_predict"],
                    "seed": options["seed"],
                }
            )
            self.send(
                {
                    "model": body["model"],
                    "message": done["choices"][0]["message"],
                    "done": True,
                    "done_reason": done["choices"][0]["finish_reason"],
                    "prompt_eval_count": done["usage"]["prompt_tokens"],
                    "eval_count": done["usage"]["completion_tokens"],
                }
            )

        def send(self, body: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def make_scripted(request: pytest.FixtureRequest) -> Backend:
    return ScriptedBackend(script)


def make_openai(request: pytest.FixtureRequest) -> Backend:
    from llmpso.backends.openai import OpenAIBackend

    url = request.getfixturevalue("llama").listening_address
    return OpenAIBackend("qwen", f"{url}/v1", api_key="sk-hunter2", timeout=300)


def make_ollama(request: pytest.FixtureRequest) -> Backend:
    from llmpso.backends.ollama import OllamaBackend

    return OllamaBackend("llama3", request.getfixturevalue("ollama_url"))


def make_embedded(request: pytest.FixtureRequest) -> Backend:
    from llmpso.backends.embedded import EmbeddedBackend

    return EmbeddedBackend(n_threads=1)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(make_scripted, id="scripted"),
        pytest.param(make_openai, id="openai", marks=pytest.mark.llm),
        pytest.param(make_ollama, id="ollama", marks=pytest.mark.llm),
        pytest.param(make_embedded, id="embedded", marks=pytest.mark.llm),
    ],
)
def make(request: pytest.FixtureRequest) -> Callable[[], Backend]:
    return lambda: request.param(request)


@pytest.fixture(scope="module")
def backend(make: Callable[[], Backend]) -> Iterator[Backend]:
    made = make()
    yield made
    made.close()


@pytest.fixture(scope="module")
def reply(backend: Backend) -> Reply:
    return backend.complete(QUESTION)


def test_replies_with_json_of_the_schema(reply):
    answer = json.loads(reply.text)
    assert set(answer) == {"layers"}
    assert 1 <= answer["layers"] <= 9


def test_counts_what_it_costs(reply):
    assert reply.prompt_tokens > 10
    assert 3 < reply.completion_tokens < 40
    assert 0 < reply.seconds < 300
    assert (reply.retries, reply.truncated, reply.cached) == (0, False, False)


def test_the_same_question_has_the_same_answer_from_any_thread(backend, reply):
    with ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(backend.complete, [QUESTION, QUESTION]))
    assert [again.text for again in replies] == [reply.text, reply.text]


def test_says_that_the_reply_is_cut(backend):
    reply = backend.complete(replace(QUESTION, max_tokens=3))
    assert reply.truncated
    assert reply.completion_tokens <= 3


def test_identity_is_plain_and_holds_no_secret(make, backend):
    identity = backend.identity
    assert {"backend", "model"} <= set(identity)
    assert all(isinstance(text, str) for pair in identity.items() for text in pair)
    assert "hunter2" not in json.dumps(dict(identity))
    assert identity == make().identity


def test_check_finds_that_it_answers(backend):
    backend.check()


def test_a_closed_backend_refuses(make):
    backend = make()
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.complete(QUESTION)
