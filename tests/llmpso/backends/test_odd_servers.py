"""Servers that deviate from the protocol: adapted to, or reported with their own message."""

import gzip
import json
import logging
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmpso.backends.base import Message, Request
from llmpso.backends.ollama import OllamaBackend
from llmpso.backends.openai import OpenAIBackend
from llmpso.backends.server_error import server_error_in
from llmpso.errors import BackendError, BackendUnavailableError

GOOD = '{"layers": 2}'
QUOTA = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}


def backend(url: str, **options: Any) -> OpenAIBackend:
    return OpenAIBackend("m", f"{url}/v1", api_key="sk-very-secret", **options)


def refuses(server: Any, *complaints: tuple[Callable[[dict], bool], int, object]) -> str:
    """A server that refuses whatever one of the conditions holds for, and else answers well."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        body = server.seen[-1].body
        for is_refused, status, words in complaints:
            if is_refused(body):
                server.says(words, status)(handler)
                return
        server.completion(GOOD)(handler)

    return server.plays(act)


def has(name: str) -> Callable[[dict], bool]:
    return lambda body: name in body


def is_bound_by(*kinds: str) -> Callable[[dict], bool]:
    return lambda body: body.get("response_format", {}).get("type") in kinds


def error(message: str, **more: object) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"} | more}


def detail(*loc: object, **more: object) -> dict[str, Any]:
    return {
        "detail": [{"type": "extra_forbidden", "loc": list(loc), "msg": "not permitted"} | more]
    }


REFUSALS = [
    ("limit by param", has("max_tokens"), 400, error("Unsupported", param="max_tokens")),
    ("limit by words", has("max_tokens"), 400, error("use max_completion_tokens, not max_tokens")),
    ("temperature by words", has("temperature"), 400, error("`temperature` has to be 1")),
    ("temperature by page", has("temperature"), 400, "<html><p>bad <b>temperature</b></p></html>"),
    ("temperature in a list", has("temperature"), 400, [error("Unknown name temperature")]),
    ("temperature behind a router", has("temperature"), 400,
     error("Provider returned error", metadata={"raw": '{"message": "temperature: no"}'})),
    ("seed by FastAPI", has("seed"), 422, detail("body", "seed", input={"temperature": 0})),
    ("seed deep inside", has("seed"), 422, {"object": "error", "message": detail("body", "seed")}),
    ("seed by status 500", has("seed"), 500, error("TypeError: unexpected keyword 'seed'")),
    ("schema by words", is_bound_by("json_schema"), 400, error("json_schema is not available")),
    ("any format", has("response_format"), 400, error("response_format is not supported here")),
    ("all but text", is_bound_by("json_schema", "json_object"), 422, detail("body",
     "response_format", "type")),
    ("system by param", lambda body: body["messages"][0]["role"] == "system", 400,
     error("Unsupported value: 'messages[0].role' does not support 'system'",
           param="messages[0].role")),
    ("system by words", lambda body: len(body["messages"]) > 1, 400,
     "Conversation roles must alternate user/assistant/user/assistant"),
    ("text as content", lambda body: isinstance(body["messages"][0]["content"], str), 422,
     detail("body", "messages", 0, "content", "list[Part]")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "is_refused", "status", "words"), REFUSALS)
def test_what_is_refused_is_given_up_at_once_and_for_good(
    server, question, name, is_refused, status, words
):
    model = backend(refuses(server, (is_refused, status, words)))
    identity = dict(model.identity)
    reply = model.complete(question)
    assert (reply.text, reply.retries) == (GOOD, 0)
    n_first = len(server.seen)
    assert n_first <= 3
    assert model.complete(question).text == GOOD
    assert len(server.seen) == n_first + 1
    assert model.identity == identity


def test_all_at_once_and_the_reply_says_what_was_not_used(server, question, caplog):
    url = refuses(
        server,
        (has("max_tokens"), 400, error("no max_tokens", param="max_tokens")),
        (has("temperature"), 400, error("no temperature")),
        (has("seed"), 422, detail("body", "seed")),
        (has("response_format"), 400, error("no response_format")),
    )
    model = backend(url)
    with caplog.at_level(logging.WARNING):
        reply = model.complete(replace(question, temperature=0.7))
    assert reply.notes == (
        "temperature 0.7 not used: refused",
        "seed 3 not used: refused",
        "schema in the prompt, not binding: refused",
    )
    assert server.seen[-1].body["max_completion_tokens"] == 40
    assert [record.message.partition(" refuses ")[2] for record in caplog.records] == [
        "max_tokens (no max_tokens); from now on it is max_completion_tokens",
        "temperature (no temperature); from now on it is left out",
        "seed (body.seed: not permitted); from now on it is left out",
        "json_schema (no response_format); from now on it is in the prompt, JSON is asked for",
        "json_object (no response_format); from now on it is only in the prompt",
    ]
    sent = server.seen[-1].body["messages"][0]["content"]
    assert json.dumps(question.schema) in sent


def test_a_server_that_takes_everything_leaves_nothing_to_say(server, question):
    assert backend(server.plays(server.completion(GOOD))).complete(question).notes == ()


def test_a_system_message_becomes_the_begin_of_the_users(server, question):
    words = error("System role not supported")
    url = refuses(server, (lambda body: body["messages"][0]["role"] == "system", 400, words))
    backend(url).complete(question)
    assert server.seen[-1].body["messages"] == [
        {"role": "user", "content": "You tune neural networks.\n\nHow many layers?"}
    ]


def test_what_did_not_help_is_not_given_up(server, question):
    model = backend(server.plays(server.fails(400, "temperature? seed? I never answer")))
    with pytest.raises(BackendError, match="I never answer"):
        model.complete(question)
    server.plays(server.completion(GOOD))
    assert model.complete(question).notes == ()


def test_questions_at_the_same_time_adapt_together(server, question):
    model = backend(refuses(server, (has("seed"), 400, error("no seed"))))
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(model.complete, [question] * 4))
    assert [reply.text for reply in replies] == [GOOD] * 4


class TestAnswers:
    @pytest.mark.parametrize(
        "message",
        [
            {"content": [{"type": "text", "text": '{"lay'}, {"type": "text", "text": 'ers": 2}'}]},
            {"content": [{"type": "thinking", "thinking": [{"text": "hm"}]}, {"text": GOOD}]},
            {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": GOOD}}]},
            {"content": "", "tool_calls": [{"function": {"arguments": {"layers": 2}}}]},
            {"content": GOOD, "reasoning_content": "hm {", "reasoning": ["hm"], "tool_calls": []},
        ],
    )
    def test_in_other_places(self, server, question, message):
        choice = {"message": message, "finish_reason": "stop"}
        url = server.plays(server.says({"choices": [choice], "usage": {"prompt_tokens": None}}))
        assert backend(url).complete(question).text == GOOD

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
    def test_in_other_encodings(self, server, question, encoding):
        body = {"choices": [{"message": {"content": GOOD}}]}
        url = server.plays(server.says(json.dumps(body).encode(encoding)))
        assert backend(url).complete(question).text == GOOD

    def test_piece_by_piece_where_the_server_can_do_nothing_else(self, server, question):
        pieces = ['{"lay', "ers", '": 2}']
        events = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
        events += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}]
        events += [{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}]
        stream = ": hello\n\n" + "".join(f"data: {json.dumps(one)}\n\n" for one in events)
        only = error("This model only supports streaming; set stream to true")
        url = server.plays(server.says(only, 400), server.says(stream + "data: [DONE]\n\n"))
        reply = backend(url).complete(question)
        assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == (GOOD, 3, 4)
        assert server.seen[1].body["stream"] is True

    def test_an_error_among_the_pieces(self, server, question):
        stream = 'data: {"choices": []}\n\ndata: {"error": {"message": "gone", "code": "x"}}\n\n'
        with pytest.raises(BackendError, match=r"m at .* failed: gone$"):
            backend(server.plays(server.says(stream))).complete(question)

    def test_thoughts_that_leave_no_room_get_more(self, server, question):
        thought = {"content": "", "reasoning_content": "hm " * 50}
        cut = {"choices": [{"message": thought, "finish_reason": "length"}]}
        cut["usage"] = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 50}
        url = server.plays(server.says(cut), server.completion(GOOD))
        model = backend(url)
        reply = model.complete(question)
        assert (reply.text, reply.truncated) == (GOOD, False)
        assert [seen.body["max_tokens"] for seen in server.seen] == [40, 320]
        assert reply.notes == ("up to 320 tokens: the model reasons before it answers",)
        # What was thought and cut off was paid for; some servers have it in the total only.
        assert (reply.prompt_tokens, reply.completion_tokens) == (10 + 7, 40 + 5)

    def test_thoughts_without_end_are_a_cut_answer(self, server, question):
        thought = {"content": None, "reasoning": "hm " * 50}
        cut = {"choices": [{"message": thought, "finish_reason": "length"}]}
        reply = backend(server.plays(server.says(cut))).complete(question)
        assert (reply.text, reply.truncated) == ("", True)
        assert len(server.seen) == 2

    @pytest.mark.parametrize(
        ("message", "finish", "words"),
        [
            ({"content": None, "refusal": "I cannot help"}, "stop", "I cannot help"),
            ({"content": ""}, "content_filter", "finish_reason is 'content_filter'"),
            ({"content": []}, "stop", "finish_reason is 'stop'"),
        ],
    )
    def test_without_text(self, server, question, message, finish, words):
        choice = {"message": message, "finish_reason": finish}
        url = server.plays(server.says({"choices": [choice]}))
        with pytest.raises(BackendError, match=f"without text: {words}"):
            backend(url).complete(question)


class TestOwnWords:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (error("no such plan", code="x"), "failed: no such plan"),
            ({"error": "just text"}, "failed: just text"),
            ({"choices": None, "error": {"message": "overloaded", "code": 400}}, "overloaded"),
            ({"choices": []}, 'it said: {"choices"'),
            ({"detail": "Not here"}, "Not here"),
            ("<html>Sign in first</html>", "Sign in first"),
            (b"", "nothing, status 200"),
            ({"choices": [{"message": {"content": 5}}]}, "it said: "),
        ],
    )
    def test_with_status_200(self, server, question, body, words):
        with pytest.raises(BackendError, match=words):
            backend(server.plays(server.says(body))).complete(question)

    def test_204(self, server, question):
        with pytest.raises(BackendError, match="it said: nothing, status 204"):
            backend(server.plays(server.says(b"", 204))).complete(question)

    def test_a_missing_model_with_those_there_are(self, server, question):
        words = error("The model `m` does not exist. Available: a, b", code="model_not_found")
        with pytest.raises(BackendUnavailableError, match="Available: a, b"):
            backend(server.plays(server.says(words, 404))).complete(question)

    @pytest.mark.parametrize("status", [402, 429, 200])
    def test_an_empty_account_is_asked_once(self, server, question, status):
        with pytest.raises(BackendUnavailableError, match="no quota left .You exceeded"):
            backend(server.plays(server.says(QUOTA, status))).complete(question)
        assert len(server.seen) == 1

    def test_a_key_that_fills_a_place_only_spoils_no_words(self, server, question):
        model = OpenAIBackend("m", server.plays(server.completion("extra")), api_key="x")
        assert model.complete(question).text == "extra"


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


class TestOllama:
    ANSWER: dict[str, Any] = {"message": {"content": GOOD}, "done": True, "done_reason": "stop"}

    def test_is_asked_not_to_think_aloud(self, server, question):
        OllamaBackend("m", server.plays(server.says(self.ANSWER))).complete(question)
        assert server.seen[0].body["think"] is False

    @pytest.mark.parametrize(
        ("field", "words"),
        [
            ("think", '"m" does not support thinking'),
            ("think", 'json: unknown field "think"'),
            ("format", "json: cannot unmarshal object into Go struct field ChatRequest.format"),
            ("format", "invalid JSON schema in format"),
        ],
    )
    def test_older_ones_are_adapted_to(self, server, question, field, words):
        url = server.plays(server.says({"error": words}, 400), server.says(self.ANSWER))
        model = OllamaBackend("m", url)
        assert model.complete(question).text == GOOD
        first, second = (seen.body for seen in server.seen)
        assert second.get(field) == {"think": None, "format": "json"}[field]
        assert model.complete(question).text == GOOD
        assert len(server.seen) == 3

    def test_words_with_status_200(self, server, question):
        url = server.plays(server.says({"error": "model requires more memory (9 GiB)"}))
        with pytest.raises(BackendError, match="failed: model requires more memory"):
            OllamaBackend("m", url).complete(question)

    def test_reasoning_is_separated(self, server, question):
        said = {"message": {"content": GOOD, "thinking": "hm {"}, "done_reason": "stop"}
        assert OllamaBackend("m", server.plays(server.says(said))).complete(question).text == GOOD

    def test_thoughts_that_leave_no_room_get_more(self, server, question):
        cut = {"message": {"content": "", "thinking": "hm"}, "done_reason": "length"}
        url = server.plays(server.says(cut), server.says(self.ANSWER))
        OllamaBackend("m", url).complete(question)
        assert server.seen[1].body["options"]["num_predict"] == 320


def test_the_probe_of_a_model_that_thinks(server):
    """A limit of one token leaves nothing to read, and is no reason to refuse the model."""
    thought = {"content": None, "reasoning_content": "Okay"}
    cut = {"choices": [{"message": thought, "finish_reason": "length"}]}
    server.plays(server.fails(404, "no list"), server.says(cut))
    model = backend(server.url)
    model.check()
    server.plays(server.completion(GOOD))
    asked = Request((Message("user", "?"),), {"type": "object"}, max_tokens=40)
    assert model.complete(asked).notes == ()
    assert server.seen[-1].body["max_tokens"] == 40
