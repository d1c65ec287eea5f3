"""Nothing is left of a call: no thread, no connection, no warning."""

import gc
import threading
import warnings
from pathlib import Path

import pytest

from llmpso.backends.ollama import OllamaBackend
from llmpso.backends.openai import OpenAIBackend
from llmpso.errors import BackendError

GOOD = {
    "choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}],
    "message": {"content": "{}"},
    "data": [{"id": "m"}],
    "models": [{"model": "m"}],
}


def open_sockets() -> int:
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += "socket" in str(entry.readlink())
        except OSError:
            continue
    return found


@pytest.mark.usefixtures("quick_collections")
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts what Linux lists")
@pytest.mark.parametrize("make", [OpenAIBackend, OllamaBackend])
@pytest.mark.parametrize("way", ["answers", "refuses", "drips", "resets"])
def test_threads_and_sockets_end_with_the_call(server, question, make, way):
    acts = {
        "answers": server.says(GOOD),
        "refuses": server.fails(400, "temperature"),
        "drips": server.drips,
        "resets": server.resets,
    }
    url = server.plays(acts[way])
    model = make("m", f"{url}/v1", timeout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        _ask(model, question)
        gc.collect()
        before = threading.active_count() - len(_served()), open_sockets()
        for _ in range(3):
            _ask(model, question)
        model.close()
        gc.collect()
        after = threading.active_count() - len(_served()), open_sockets()
    assert after[0] <= before[0]
    # The test's own server may hold a connection for as long as it drips.
    assert after[1] <= before[1] + len(_served())


def _ask(model, question) -> None:
    try:
        model.complete(question)
    except BackendError:
        return


def _served() -> list[threading.Thread]:
    """The threads of the test's own server."""
    return [one for one in threading.enumerate() if "process_request" in one.name]
