"""Servers that deviate from the protocol: adapted to, or reported with their own message."""

import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from asked_server import GOOD, backend, error
from llmpso.backends.base import Message, Request
from llmpso.backends.ollama import OllamaBackend
from llmpso.backends.openai import OpenAIBackend
from llmpso.errors import BackendError, BackendUnavailableError

QUOTA = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}


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

    def test_tokens_of_the_pieces_are_counted_if_the_server_counts_them_when_asked_to(
        self, server, question
    ):
        def act(handler: BaseHTTPRequestHandler) -> None:
            body = server.seen[-1].body
            pieces = [{"choices": [{"delta": {"content": GOOD}, "finish_reason": "stop"}]}]
            if body.get("stream_options", {}).get("include_usage"):
                pieces.append({"usage": {"prompt_tokens": 300, "completion_tokens": 40}})
            stream = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces)
            only = server.says(error("stream must be true"), 400)
            (server.says(stream) if body.get("stream") else only)(handler)

        reply = backend(server.plays(act)).complete(question)
        assert (reply.prompt_tokens, reply.completion_tokens) == (300, 40)
        assert reply.notes == ()

    def test_a_server_that_does_not_count_pieces_is_asked_without(self, server, question):
        piece = {"choices": [{"delta": {"content": GOOD}, "finish_reason": "stop"}]}
        url = server.plays(
            server.says(error("This model only supports streaming"), 400),
            server.says(error("Unknown parameter: 'stream_options'."), 400),
            server.says(f"data: {json.dumps(piece)}\n\n"),
        )
        reply = backend(url).complete(question)
        assert (reply.text, reply.prompt_tokens) == (GOOD, 0)
        assert reply.notes == ("tokens not counted: refused",)
        assert server.seen[-1].body["stream"] is True

    def test_a_piece_with_a_separator_of_paragraphs_in_it_is_whole(self, server, question):
        said = '{"layers": 2, "why": "small\u2028data"}'
        piece = {"choices": [{"delta": {"content": said}, "finish_reason": "stop"}]}
        stream = f"data: {json.dumps(piece, ensure_ascii=False)}\r\n\r\n"
        only = error("This model only supports streaming; set stream to true")
        url = server.plays(server.says(only, 400), server.says(stream))
        assert backend(url).complete(question).text == said

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
