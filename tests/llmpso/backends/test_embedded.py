import hashlib
import signal
import time
import urllib.error
import urllib.request
from contextlib import suppress

import pytest

from llmpso.backends import model_file
from llmpso.backends.base import Message, Request
from llmpso.backends.embedded import EmbeddedBackend
from llmpso.errors import BackendError, BackendUnavailableError


def test_identity_of_the_known_model_needs_no_file():
    assert EmbeddedBackend().identity == {
        "backend": "embedded",
        "model": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        "sha256": "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "quantisation": "Q4_K_M",
    }


@pytest.mark.parametrize(
    ("name", "quantisation"),
    [
        ("Llama-3.2-1B.IQ2_XXS.gguf", "IQ2_XXS"),
        ("m-bf16.gguf", "BF16"),
        ("m_Q8_0.gguf", "Q8_0"),
        ("mine.gguf", None),
    ],
)
def test_identity_of_another_file(tmp_path, monkeypatch, name, quantisation):
    monkeypatch.setattr(model_file, "cache_folder", lambda: tmp_path / "cache")
    (tmp_path / name).write_bytes(b"GGUF and more")
    identity = EmbeddedBackend(tmp_path / name).identity
    assert identity["sha256"] == hashlib.sha256(b"GGUF and more").hexdigest()
    assert (identity["model"], identity.get("quantisation")) == (name, quantisation)


def test_a_file_llama_cpp_cannot_load(tmp_path, question, capfd):
    (tmp_path / "m.gguf").write_bytes(b"GGUF and more")
    with pytest.raises(BackendUnavailableError, match=r"cannot load .*m\.gguf; take a GGUF file"):
        EmbeddedBackend(tmp_path / "m.gguf").complete(question)
    assert capfd.readouterr().err == ""


class SwallowsErrors:
    """Says pieces until its callback stops it; loses what is raised there, as llama.cpp does."""

    def __init__(self) -> None:
        self.n_pieces = 0

    def handle_chat_completions(self, body, callback):
        stopped = False
        while not stopped and self.n_pieces < 500:
            self.n_pieces += 1
            with suppress(BaseException):
                time.sleep(0.01)
                stopped = callback({"choices": []})


def test_an_interrupt_ends_a_call(question):
    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    backend, model = EmbeddedBackend(), SwallowsErrors()
    backend._server = model
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with pytest.raises(KeyboardInterrupt):
        backend.complete(question)
    signal.signal(signal.SIGALRM, before)
    assert 1 < model.n_pieces < 400


@pytest.fixture(scope="module")
def backend():
    backend = EmbeddedBackend(n_threads=1)
    yield backend
    backend.close()


@pytest.mark.llm
class TestRealModel:
    def test_is_silent(self, backend, question, capfd):
        backend.complete(question)
        assert capfd.readouterr() == ("", "")

    def test_replies_do_not_depend_on_earlier_questions(self, backend, question):
        more = Request((*question.messages[:1], Message("user", "How many?")), question.schema)
        first = backend.complete(question).text
        backend.complete(more)
        assert backend.complete(question).text == first

    def test_the_seed_matters(self, backend):
        schema = {
            "type": "object",
            "properties": {"word": {"type": "string"}},
            "required": ["word"],
        }
        ask = (Message("user", "Say a random word."),)
        replies = {
            backend.complete(Request(ask, schema, 1.5, 12, seed)).text for seed in (1, 2, 3)
        }
        assert len(replies) > 1

    def test_the_deadline(self, backend, question, monkeypatch):
        monkeypatch.setattr(backend, "_timeout", 0.5)
        long = Request((Message("user", "x " * 4000),), question.schema)
        start = time.perf_counter()
        with pytest.raises(BackendError, match=r"did not end within 0\.5 s"):
            backend.complete(long)
        assert time.perf_counter() - start < 60

    def test_a_prompt_that_is_too_long(self, backend, question):
        with pytest.raises(BackendError, match="exceeds the available context size"):
            backend.complete(Request((Message("user", "x " * 9000),), question.schema))

    def test_a_schema_that_is_none(self, backend, question):
        with pytest.raises(BackendError, match="refuses the request: .*unrecognized type"):
            backend.complete(Request(question.messages, {"type": "nonsense"}))

    def test_its_port_is_closed_to_others(self, backend, question):
        address = backend._loaded().listening_address
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{address}/slots", timeout=10)

    def test_close_frees_it(self, question):
        backend = EmbeddedBackend(n_threads=1)
        address = backend._loaded().listening_address
        backend.close()
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen(f"{address}/health", timeout=10)


def test_check_fetches_the_model(monkeypatch):
    fetched = []
    monkeypatch.setattr(
        "llmpso.backends.embedded.fetch_model", lambda path, progress: fetched.append(path)
    )
    EmbeddedBackend().check()
    assert fetched == [None]
