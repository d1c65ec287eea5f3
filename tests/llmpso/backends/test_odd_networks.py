"""What lies between a server and us: waits, redirects, lost connections, certificates, proxies."""

import gzip
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from asked_server import GOOD, backend, error
from llmpso.backends.ollama import OllamaBackend
from llmpso.backends.openai import OpenAIBackend
from llmpso.backends.server_error import server_error_in
from llmpso.errors import BackendError, BackendUnavailableError


class TestWaiting:
    def test_as_long_as_the_server_asks(self, server, question):
        busy = server.says(error("slow down"), 429, Retry_After="1")
        url = server.plays(busy, busy, busy, server.completion(GOOD))
        reply = backend(url).complete(question)
        assert (reply.text, reply.retries) == (GOOD, 3)
        assert reply.seconds > 3

    def test_until_a_date(self, server, question):
        date = formatdate(time.time() + 2, usegmt=True)
        url = server.plays(
            server.says(error("slow down"), 503, Retry_After=date), server.completion(GOOD)
        )
        assert backend(url).complete(question).seconds > 0.9

    @pytest.mark.parametrize("wait", ["604800", "inf", "Wed, 21 Oct 2099 07:28:00 GMT"])
    def test_not_beyond_the_deadline(self, server, question, wait):
        busy = server.says(error("come back"), 429, Retry_After=wait)
        with pytest.raises(BackendError, match=r"429 \(come back\).*longer than a call may take"):
            backend(server.plays(busy)).complete(question)
        assert len(server.seen) == 1

    def test_a_wait_of_nothing_has_an_end(self, server, question):
        busy = server.says(error("slow down"), 429, Retry_After="0")
        with pytest.raises(BackendError, match="failed with 429"):
            backend(server.plays(busy)).complete(question)
        assert len(server.seen) == 3

    @pytest.mark.parametrize(
        ("headers", "wait"),
        [
            ({"retry-after": "7"}, 7),
            ({"retry-after": "0.5"}, 0.5),
            ({"retry-after": "9", "retry-after-ms": "250"}, 0.25),
            ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
            ({"retry-after": "-1"}, None),
            ({"retry-after": "nan"}, None),
            ({"retry-after": "soon"}, None),
            ({"retry-after": ""}, None),
            ({}, None),
        ],
    )
    def test_as_the_header_says(self, headers, wait):
        fault = server_error_in(httpx.Response(429, headers=headers, json={}))
        assert fault is not None
        assert fault.wait == wait

    def test_for_ever_ends_at_the_deadline(self, server, question):
        busy = server.says(error("slow down"), 429, Retry_After="0.2")
        with pytest.raises(BackendError):
            backend(server.plays(busy), timeout=2.5).complete(question)
        assert 2 < len(server.seen) < 12


class TestOnTheWay:
    def test_a_drip_within_the_deadline(self, server, question):
        data = json.dumps({"choices": [{"message": {"content": GOOD}}]}).encode()

        def drips(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("transfer-encoding", "chunked")
            handler.end_headers()
            for begin in range(0, len(data), 10):
                piece = data[begin : begin + 10]
                handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                time.sleep(0.02)
            handler.wfile.write(b"0\r\n\r\n")

        assert backend(server.plays(drips)).complete(question).text == GOOD

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_to_another_server_is_reported_and_not_followed(
        self, server, question, no_server, status
    ):
        url = server.plays(server.says(b"", status, Location=f"{no_server}/v1?key=secret"))
        with pytest.raises(BackendUnavailableError, match=f"redirects to {no_server}/v1; set"):
            backend(url).complete(question)
        assert len(server.seen) == 1

    def test_a_redirect_on_the_same_server_is_followed(self, server, question):
        url = server.plays(
            server.says(b"", 307, Location="/v1/chat/completions/"), server.completion(GOOD)
        )
        assert backend(url).complete(question).text == GOOD

    def test_a_redirect_without_end(self, server, question):
        url = server.plays(server.says(b"", 307, Location="/v1/chat/completions"))
        with pytest.raises(BackendUnavailableError, match="cannot be reached"):
            backend(url, timeout=20).complete(question)

    @pytest.mark.parametrize(
        "body", [b"no gzip", gzip.compress(b"{}" * 1000, mtime=0)[:-20]], ids=["no gzip", "cut"]
    )
    def test_broken_gzip(self, server, question, body):
        url = server.plays(server.says(body, content_encoding="gzip"))
        with pytest.raises(BackendError):
            backend(url).complete(question)

    def test_a_connection_lost_in_mid_body_is_tried_again(self, server, question):
        def breaks(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("content-length", "1000")
            handler.end_headers()
            handler.wfile.write(b'{"choices"')
            handler.wfile.flush()
            server.resets(handler)

        reply = backend(server.plays(breaks, server.completion(GOOD))).complete(question)
        assert (reply.text, reply.retries) == (GOOD, 1)

    def test_ten_megabytes_come_whole(self, server, question):
        text = "x" * 10_000_000
        assert len(backend(server.plays(server.completion(text))).complete(question).text) == 10**7

    def test_brackets_without_end(self, server, question):
        with pytest.raises(BackendError, match="not with a chat completion"):
            backend(server.plays(server.says(b"[" * 1_000_000))).complete(question)

    def test_a_certificate_of_its_own(self, tls_server, question):
        model = OpenAIBackend("m", tls_server, api_key="k")
        with pytest.raises(BackendUnavailableError, match="is not trusted; set SSL_CERT_FILE"):
            model.complete(question)

    def test_a_certificate_that_was_made_known(self, tls_server, question, tmp_path, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert OpenAIBackend("m", tls_server, api_key="k").complete(question).text == GOOD


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[str]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    body = json.dumps({"choices": [{"message": {"content": GOOD}}]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.handle_error = lambda *args: None  # type: ignore[method-assign]
        http.socket = context.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch, no_server: str) -> str:
    """A proxy for all requests, at an address where no server answers."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, no_server)
    return no_server


class TestProxies:
    @pytest.mark.parametrize("proxy", ["", "socks5://127.0.0.1:1", "socks5h://127.0.0.1:1", ":("])
    def test_none_is_used_for_this_machine(self, server, question, proxied, monkeypatch, proxy):
        if proxy:
            monkeypatch.setenv("ALL_PROXY", proxy)
        url = server.plays(server.completion(GOOD))
        assert backend(url).complete(question).text == GOOD
        assert backend(url.replace("127.0.0.1", "localhost")).complete(question).text == GOOD
        said = {"message": {"content": GOOD}, "done": True}
        assert OllamaBackend("m", server.plays(server.says(said))).complete(question).text == GOOD

    def test_another_machine_is_reached_through_it(self, question, proxied, server, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", server.plays(server.completion(GOOD)))
        monkeypatch.setenv("http_proxy", server.url)
        model = OpenAIBackend("m", "http://model.example/v1", api_key="k")
        assert model.complete(question).text == GOOD
        assert server.seen[0].path == "http://model.example/v1/chat/completions"

    @pytest.mark.parametrize("proxy", ["ftp://proxy:1", "http://[::1", "http://proxy:99999"])
    def test_one_that_cannot_be_used_is_one_line(self, question, proxied, monkeypatch, proxy):
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy)
        model = OpenAIBackend("m", "http://model.example/v1", api_key="k", timeout=5)
        with pytest.raises(BackendUnavailableError) as caught:
            model.complete(question)
        assert "\n" not in str(caught.value)
