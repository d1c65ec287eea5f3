import time

import pytest

from llmpso.backends.base import Request
from llmpso.backends.ollama import OllamaBackend
from llmpso.errors import BackendError, BackendUnavailableError

ANSWER = {
    "model": "llama3",
    "message": {"role": "assistant", "content": '{"layers": 2}'},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 7,
    "eval_count": 5,
}


def tags(*names: str) -> dict[str, list[dict[str, str]]]:
    return {"models": [{"model": name, "name": name} for name in names]}


def test_sends_what_is_asked_and_reads_what_is_answered(server, question):
    reply = OllamaBackend(base_url=server.plays(server.says(ANSWER))).complete(question)
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ('{"layers": 2}', 7, 5)
    assert (reply.truncated, reply.retries) == (False, 0)
    body = server.seen[0].body
    assert (server.seen[0].path, body["model"]) == ("/api/chat", "llama3")
    assert body["format"] == question.schema
    assert body["stream"] is False
    assert body["options"] == {"temperature": 0.0, "num_predict": 40, "num_ctx": 8192, "seed": 3}
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


def test_truncated_and_uncounted(server, question):
    cut = ANSWER | {"done_reason": "length", "prompt_eval_count": None}
    reply = OllamaBackend(base_url=server.plays(server.says(cut))).complete(question)
    assert reply.truncated
    assert reply.prompt_tokens == 0


def test_large_seeds_fit(server, question):
    url = server.plays(server.says(ANSWER))
    OllamaBackend(base_url=url).complete(Request(question.messages, {}, seed=2**63 + 1))
    assert server.seen[0].body["options"]["seed"] == 1


def test_transport_errors_are_retried_and_counted(server, question):
    oops = server.says({"error": "oops"}, 500)
    url = server.plays(server.resets, oops, server.says(ANSWER))
    assert OllamaBackend(base_url=url).complete(question).retries == 2


def test_retries_have_an_end(server, question):
    url = server.plays(server.says({"error": "out of memory"}, 500))
    with pytest.raises(BackendError, match=r"failed with 500 \(out of memory\)"):
        OllamaBackend(base_url=url).complete(question)
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (404, {"error": "model not found"}, BackendUnavailableError, "run: ollama pull llama3"),
        (401, {"error": "unauthorized"}, BackendUnavailableError, "refuses access"),
        (400, {"error": {"message": "bad\nformat"}}, BackendError, "failed with 400 .*bad"),
        (200, "<html>", BackendError, "not as Ollama does"),
        (200, [1], BackendError, "not as Ollama does"),
        (500, [1], BackendError, "not as Ollama does"),
        (200, {"message": 3}, BackendError, "not as Ollama does"),
    ],
)
def test_the_rest_is_not_retried(server, question, status, body, kind, text):
    with pytest.raises(kind, match=text) as caught:
        url = server.plays(server.says(body, status))
        OllamaBackend(base_url=url).complete(question)
    assert len(server.seen) == 1
    assert "\n" not in str(caught.value)


def test_a_drip_does_not_outlive_the_deadline(server, question):
    model = OllamaBackend(base_url=server.plays(server.drips), timeout=1.0)
    start = time.perf_counter()
    with pytest.raises(BackendError, match="did not answer within 1 s"):
        model.complete(question)
    assert time.perf_counter() - start < 3


def test_no_server(no_server, question):
    model = OllamaBackend(base_url=no_server)
    with pytest.raises(
        BackendUnavailableError, match=f"no Ollama answers at {no_server}; start it"
    ):
        model.complete(question)
    with pytest.raises(BackendUnavailableError, match="no Ollama answers"):
        model.check()


@pytest.mark.parametrize("name", ["llama3", "llama3:latest", "qwen:1.5b"])
def test_check_finds_the_model(server, name):
    url = server.plays(server.says(tags("llama3:latest", "qwen:1.5b")))
    OllamaBackend(name, url).check()


@pytest.mark.parametrize("name", ["llama", "llama3:8b", "qwen"])
def test_check_says_how_to_get_a_missing_model(server, name):
    url = server.plays(server.says(tags("llama3:latest", "qwen:1.5b")))
    with pytest.raises(BackendUnavailableError, match=f"run: ollama pull {name}$"):
        OllamaBackend(name, url).check()


def test_check_wants_an_ollama(server):
    with pytest.raises(BackendUnavailableError, match="not as Ollama does"):
        OllamaBackend(base_url=server.plays(server.says("<html>"))).check()


def test_check_does_not_wait_for_long(server):
    with pytest.raises(BackendUnavailableError, match=r"did not answer within 0\.2 s"):
        OllamaBackend(base_url=server.plays(server.drips)).check(0.2)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("example.org", "http://example.org:11434"),
        ("example.org:80", "http://example.org:80"),
        ("https://user:hunter2@example.org/ollama/?key=1", "https://example.org/ollama"),
        ("http://[::1]:11434", "http://[::1]:11434"),
        ('"127.0.0.1:8391"', "http://127.0.0.1:8391"),
        ("  '127.0.0.1:8391' ", "http://127.0.0.1:8391"),
        ("127.0.0.1:8391/", "http://127.0.0.1:8391"),
        ("http://127.0.0.1:8391/", "http://127.0.0.1:8391"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8391", "http://127.0.0.1:8391"),
        ("http://0.0.0.0:8391", "http://127.0.0.1:8391"),
        (":8391", "http://127.0.0.1:8391"),
        ("localhost:", "http://localhost:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:8391", "http://[::1]:8391"),
        ("[::]:8391", "http://[::1]:8391"),
        ("::", "http://[::1]:11434"),
        ("http://example.org", "http://example.org"),
        ("example.org/ollama", "http://example.org:11434/ollama"),
    ],
)
def test_addresses(host, url, monkeypatch):
    if host:
        monkeypatch.setenv("OLLAMA_HOST", host)
    assert OllamaBackend().identity == {"backend": "ollama", "model": "llama3", "url": url}


@pytest.mark.parametrize(
    "host", ["host:port", "ftp://host", "host:99999", "http://[::1", "a b", "[x]:1"]
)
def test_no_address(host):
    with pytest.raises(BackendUnavailableError, match="the address of Ollama is"):
        OllamaBackend(base_url=host)
