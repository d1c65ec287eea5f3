import subprocess
import sys
from pathlib import Path

import pytest

from llmpso.backends import model_file
from llmpso.backends.choose import choose_backend
from llmpso.backends.embedded import EmbeddedBackend
from llmpso.backends.ollama import OllamaBackend
from llmpso.backends.openai import OpenAIBackend
from llmpso.errors import BackendUnavailableError, SpecError

LLAMA = {"models": [{"model": "llama3:latest"}]}
GPT = {"data": [{"id": "gpt-4o-mini"}]}


@pytest.fixture(autouse=True)
def no_ollama(monkeypatch, no_server) -> str:
    monkeypatch.setenv("OLLAMA_HOST", no_server)
    return no_server


@pytest.fixture
def gguf(tmp_path, monkeypatch) -> Path:
    """Passes for a model until it is loaded."""
    file = tmp_path / "tiny-q4_k_m.gguf"
    file.write_bytes(b"GGUF")
    monkeypatch.setattr(model_file, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("LLMPSO_MODEL_PATH", str(file))
    return file


class TestAuto:
    def test_takes_openai_with_a_key(self, server, monkeypatch):
        url = server.plays(server.says(GPT))
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        choice = choose_backend("auto")
        assert isinstance(choice.backend, OpenAIBackend)
        assert choice.reason == f"gpt-4o-mini at {url}: OPENAI_API_KEY is set"

    def test_says_that_the_key_is_wrong(self, server, monkeypatch, gguf):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        monkeypatch.setenv("OPENAI_BASE_URL", server.plays(server.fails(401, "no")))
        with pytest.raises(BackendUnavailableError, match="refuses the key"):
            choose_backend("auto")

    def test_takes_the_address_it_is_given(self, server):
        url = server.plays(server.says(GPT))
        choice = choose_backend("auto", base_url=url)
        assert isinstance(choice.backend, OpenAIBackend)
        assert choice.reason == f"gpt-4o-mini at {url}: its base_url is given"

    def test_takes_an_ollama_that_has_the_model(self, server, monkeypatch):
        url = server.plays(server.says(LLAMA))
        monkeypatch.setenv("OLLAMA_HOST", url)
        choice = choose_backend("auto")
        assert isinstance(choice.backend, OllamaBackend)
        assert choice.reason == f"llama3 of Ollama at {url}: OPENAI_API_KEY is not set"

    def test_takes_the_embedded_model_where_no_ollama_is(self, gguf, no_ollama):
        choice = choose_backend("auto")
        assert isinstance(choice.backend, EmbeddedBackend)
        assert choice.reason == (
            "embedded tiny-q4_k_m.gguf: OPENAI_API_KEY is not set, "
            f"and no Ollama answers at {no_ollama}"
        )

    def test_takes_the_embedded_model_where_ollama_lacks_the_model(
        self, server, monkeypatch, gguf
    ):
        monkeypatch.setenv("OLLAMA_HOST", server.plays(server.says({"models": []})))
        reason = choose_backend("auto").reason
        assert reason.startswith("embedded tiny-q4_k_m.gguf: OPENAI_API_KEY is not set, and model")

    def test_reads_a_quoted_address_of_ollama(self, server, monkeypatch):
        url = server.plays(server.says(LLAMA))
        monkeypatch.setenv("OLLAMA_HOST", f'"{url}"')
        assert choose_backend("auto").reason.startswith(f"llama3 of Ollama at {url}")

    def test_says_that_the_address_of_ollama_is_none(self, monkeypatch, gguf):
        monkeypatch.setenv("OLLAMA_HOST", "host:port")
        choice = choose_backend("auto")
        assert isinstance(choice.backend, EmbeddedBackend)
        assert "and the address of Ollama is 'http://host:port'" in choice.reason

    def test_takes_the_embedded_model_where_ollama_hangs(self, server, monkeypatch, gguf):
        monkeypatch.setenv("OLLAMA_HOST", server.plays(server.drips))
        assert "did not answer within 1 s" in choose_backend("auto").reason


class TestNamed:
    def test_openai(self, server):
        url = server.plays(server.says({"data": [{"id": "m"}]}))
        choice = choose_backend("openai", "m", url, 7.0)
        assert choice.reason == f"m at {url}: as asked for"

    def test_openai_without_a_key(self):
        with pytest.raises(BackendUnavailableError, match="^OPENAI_API_KEY is not set; export it"):
            choose_backend("openai")

    def test_ollama(self, server):
        url = server.plays(server.says(LLAMA))
        assert choose_backend("ollama", None, url).reason.endswith("as asked for")

    def test_ollama_without_the_model(self, server):
        url = server.plays(server.says(LLAMA))
        with pytest.raises(BackendUnavailableError, match="run: ollama pull phi4"):
            choose_backend("ollama", "phi4", url)

    def test_ollama_where_none_is(self, no_ollama):
        with pytest.raises(BackendUnavailableError, match=f"no Ollama answers at {no_ollama}"):
            choose_backend("ollama")

    def test_embedded(self, gguf, monkeypatch):
        monkeypatch.delenv("LLMPSO_MODEL_PATH")
        choice = choose_backend("embedded", str(gguf), timeout=7.0)
        assert choice.reason == "embedded tiny-q4_k_m.gguf: as asked for"

    def test_embedded_without_the_file(self):
        with pytest.raises(BackendUnavailableError, match="which is no file"):
            choose_backend("embedded", "/no/such.gguf")

    def test_embedded_with_an_address(self, gguf):
        with pytest.raises(SpecError, match="the embedded model has no address"):
            choose_backend("embedded", base_url="http://localhost")

    def test_nothing_else(self):
        with pytest.raises(
            SpecError, match="advisor is 'gpt'; it must be auto, openai, ollama or"
        ):
            choose_backend("gpt")


def test_no_client_is_imported_before_it_is_chosen():
    code = (
        "import sys, llmpso, llmpso.backends, llmpso.backends.base, llmpso.backends.choose;"
        "sys.exit(bool({'httpx', 'xllamacpp'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
