"""A local HTTP server that does as the test says, however rude; nothing leaves the machine."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from llmpso.backends.base import Message, Request

SCHEMA = {
    "type": "object",
    "properties": {"layers": {"type": "integer"}},
    "required": ["layers"],
    "additionalProperties": False,
}

Act = Callable[[BaseHTTPRequestHandler], None]


def says(body: object, status: int = 200, **headers: str) -> Act:
    """Answer at once; anything but bytes and text is sent as JSON."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        raw = body if isinstance(body, bytes | str) else json.dumps(body)
        data = raw if isinstance(raw, bytes) else raw.encode()
        handler.send_response(status)
        kind = "text/html" if isinstance(body, str) else "application/json"
        for name, value in {"content-type": kind, "content-length": str(len(data))}.items():
            handler.send_header(name, value)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return act


def fails(status: int, message: str, code: str | None = None) -> Act:
    """An error in OpenAI's shape."""
    return says({"error": {"message": message, "code": code, "type": code}}, status)


def completion(text: str | None, finish: str = "stop", **more: object) -> Act:
    """A chat completion in OpenAI's shape."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": 7, "completion_tokens": 5}
    return says({"choices": [choice], "usage": usage} | more)


def resets(handler: BaseHTTPRequestHandler) -> None:
    """Hang up in the middle."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()


def drips(handler: BaseHTTPRequestHandler) -> None:
    """A byte now and then: never long enough apart for a time-out between bytes."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "1000")
    handler.end_headers()
    _drip(handler, 1000)


def drips_headers(handler: BaseHTTPRequestHandler) -> None:
    """The same before the answer has started."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
    _drip(handler, 1000)


def _drip(handler: BaseHTTPRequestHandler, times: int) -> None:
    for _ in range(times):
        try:
            handler.wfile.write(b" ")
        except OSError:
            return
        time.sleep(0.1)


@dataclass
class Seen:
    """A request as it came in."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class RudeServer:
    """Plays one act a request; the last one again and again."""

    says = staticmethod(says)
    fails = staticmethod(fails)
    completion = staticmethod(completion)
    resets = staticmethod(resets)
    drips = staticmethod(drips)
    drips_headers = staticmethod(drips_headers)

    url: str = ""
    acts: list[Act] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def plays(self, *acts: Act) -> str:
        self.acts = list(acts)
        return self.url

    def play(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length", 0))
        body = json.loads(handler.rfile.read(length)) if length else None
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.seen.append(Seen(handler.path, headers, body))
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        act(handler)


@pytest.fixture
def server() -> Iterator[RudeServer]:
    rude = RudeServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            rude.play(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        http.block_on_close = False
        thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        rude.url = f"http://127.0.0.1:{http.server_port}"
        yield rude
        http.shutdown()
        thread.join()


@pytest.fixture
def no_server() -> Iterator[str]:
    """An address where nothing listens, nor can: its port is taken until the test ends."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own keys and servers play no part."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_HOST", "LLMPSO_MODEL_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def checked(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_INET and not address[0].startswith("127."):
            raise OSError(f"a test wanted to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", checked)


@pytest.fixture
def question() -> Request:
    system = Message("system", "You tune neural networks.")
    return Request((system, Message("user", "How many layers?")), SCHEMA, max_tokens=40, seed=3)
