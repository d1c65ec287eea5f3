import asyncio
import json
import logging
import time

import pytest

from llmpso.backends.base import Message, Request
from llmpso.backends.openai import OpenAIBackend
from llmpso.errors import BackendError, BackendUnavailableError

KEY = "sk-very-secret"
REFUSAL = "Invalid parameter: 'response_format' of type 'json_schema' is not supported"


def backend(url: str, **options) -> OpenAIBackend:
    return OpenAIBackend("m", f"{url}/v1", api_key=KEY, **options)


def test_sends_what_is_asked_and_reads_what_is_answered(server, question):
    reply = backend(server.plays(server.completion('{"layers": 2}'))).complete(question)
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ('{"layers": 2}', 7, 5)
    assert (reply.truncated, reply.retries) == (False, 0)
    assert reply.seconds > 0
    (seen,) = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "You tune neural networks."},
            {"role": "user", "content": "How many layers?"},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "advice", "schema": question.schema, "strict": True},
        },
        "temperature": 0.0,
        "max_tokens": 40,
        "seed": 3,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "object"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
        {"type": "array", "items": {"anyOf": [{"type": "object", "properties": {"b": {}}}]}},
    ],
)
def test_open_schemas_are_not_sent_as_strict(server, schema):
    url = server.plays(server.completion("{}"))
    backend(url).complete(Request((Message("user", "?"),), schema))
    assert server.seen[0].body["response_format"]["json_schema"]["strict"] is False


def test_truncated(server, question):
    url = server.plays(server.completion('{"lay', finish="length"))
    assert backend(url).complete(question).truncated


def test_servers_that_count_no_tokens(server, question):
    reply = backend(server.plays(server.completion("{}", usage=None))).complete(question)
    assert (reply.prompt_tokens, reply.completion_tokens) == (0, 0)


def test_long_replies_come_whole(server, question):
    text = "x" * 5_000_000
    assert backend(server.plays(server.completion(text))).complete(question).text == text


def test_works_inside_an_event_loop(server, question):
    model = backend(server.plays(server.completion("{}")))

    async def notebook() -> str:
        return model.complete(question).text

    assert asyncio.run(notebook()) == "{}"


class TestRetries:
    def test_transport_errors_are_retried_and_counted(self, server, question):
        limit = server.fails(429, "slow down", "rate_limit_exceeded")
        url = server.plays(limit, server.fails(500, "oops"), server.completion("{}"))
        assert backend(url).complete(question).retries == 2
        assert len(server.seen) == 3

    def test_a_lost_connection_is_retried(self, server, question):
        url = server.plays(server.resets, server.completion("{}"))
        assert backend(url).complete(question).retries == 1

    def test_retries_have_an_end(self, server, question):
        with pytest.raises(BackendError, match="failed with 503 .*overloaded") as caught:
            backend(server.plays(server.fails(503, "overloaded"))).complete(question)
        assert not isinstance(caught.value, BackendUnavailableError)
        assert len(server.seen) == 3

    def test_no_server(self, no_server, question):
        with pytest.raises(BackendUnavailableError, match=f"{no_server}/v1 cannot be reached"):
            backend(no_server).complete(question)

    @pytest.mark.parametrize(
        ("status", "code", "kind", "text"),
        [
            (429, "insufficient_quota", BackendUnavailableError, "no quota left"),
            (401, "invalid_api_key", BackendUnavailableError, "refuses the key; check"),
            (403, None, BackendUnavailableError, "denies access .you said"),
            (404, "model_not_found", BackendUnavailableError, "has no model 'm'"),
            (400, "context_length_exceeded", BackendError, "refuses the request: you said"),
        ],
    )
    def test_the_rest_is_not_retried(self, server, question, status, code, kind, text):
        url = server.plays(server.fails(status, f"you said\n {KEY} " + "x" * 10**6, code))
        with pytest.raises(kind, match=text) as caught:
            backend(url).complete(question)
        assert len(server.seen) == 1
        assert KEY not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500


class TestDeadline:
    @pytest.mark.parametrize("act", ["drips", "drips_headers"])
    def test_a_drip_does_not_outlive_it(self, server, question, act):
        model = backend(server.plays(getattr(server, act)), timeout=1.0)
        start = time.perf_counter()
        with pytest.raises(BackendError, match="did not answer within 1 s"):
            model.complete(question)
        assert time.perf_counter() - start < 3

    def test_retries_do_not_outlive_it(self, server, question):
        model = backend(server.plays(server.fails(500, "oops")), timeout=0.3)
        with pytest.raises(BackendError, match=r"did not answer within 0\.3 s"):
            model.complete(question)


class TestNonsense:
    def test_a_web_page(self, server, question):
        with pytest.raises(BackendError, match="not with a chat completion; check base_url"):
            backend(server.plays(server.says("<html>hello</html>"))).complete(question)

    @pytest.mark.parametrize("body", [[], {}, {"choices": []}, {"choices": [{}]}, b"{", b"\xff"])
    def test_other_json(self, server, question, body):
        with pytest.raises(BackendError, match="not with a chat completion"):
            backend(server.plays(server.says(body))).complete(question)

    def test_no_text(self, server, question):
        with pytest.raises(BackendError, match="without text: finish_reason is 'content_filter'"):
            url = server.plays(server.completion(None, finish="content_filter"))
            backend(url).complete(question)


class TestModelsWithoutSchema:
    def test_get_the_schema_and_remembered(self, server, question, caplog):
        url = server.plays(server.fails(400, REFUSAL), server.completion("{}"))
        model = backend(url)
        before = dict(model.identity)
        with caplog.at_level(logging.WARNING):
            assert model.complete(question).retries == 0
            model.complete(question)
        formats = [seen.body["response_format"]["type"] for seen in server.seen]
        assert formats == ["json_schema", "json_object", "json_object"]
        sent = server.seen[1].body["messages"][0]["content"]
        assert sent.startswith("You tune neural networks.")
        assert json.dumps(question.schema) in sent
        assert model.identity == before
        assert [record.message for record in caplog.records] == [
            f"m at {url}/v1 refuses json_schema ({REFUSAL}); from now on it is in the prompt, "
            "JSON is asked for"
        ]

    def test_get_orders_in_a_separate_system_message(self, server):
        url = server.plays(server.fails(422, REFUSAL), server.completion("{}"))
        backend(url).complete(Request((Message("user", "?"),), {"type": "object"}))
        assert [message["role"] for message in server.seen[1].body["messages"]] == [
            "system",
            "user",
        ]

    def test_are_asked_once_more_only(self, server, question):
        with pytest.raises(BackendError, match="refuses the request"):
            backend(server.plays(server.fails(400, REFUSAL))).complete(question)
        assert len(server.seen) == 2

    def test_are_not_assumed_after_another_refusal(self, server, question):
        model = backend(server.plays(server.fails(400, "this is too long")))
        with pytest.raises(BackendError, match="this is too long"):
            model.complete(question)
        server.plays(server.completion("{}"))
        model.complete(question)
        assert server.seen[-1].body["response_format"]["type"] == "json_schema"


class TestCheck:
    def test_a_listed_model_is_not_asked(self, server):
        backend(server.plays(server.says({"data": [{"id": "m"}]}))).check()
        assert [seen.path for seen in server.seen] == ["/v1/models"]

    @pytest.mark.parametrize("body", [{"data": [{"id": "other"}]}, {"nothing": 1}, "<html>"])
    def test_another_is_asked_for_a_token(self, server, body):
        backend(server.plays(server.says(body), server.completion("{}"))).check()
        assert server.seen[1].body["max_tokens"] == 1

    def test_servers_without_a_list(self, server):
        backend(server.plays(server.fails(404, "no such path"), server.completion("{}"))).check()

    @pytest.mark.parametrize(
        ("status", "text"), [(401, "refuses the key"), (404, "no model 'm'"), (400, "refuses the")]
    )
    def test_what_does_not_answer_is_unavailable(self, server, status, text):
        with pytest.raises(BackendUnavailableError, match=text):
            backend(server.plays(server.fails(status, "no"))).check()

    def test_no_server(self, no_server):
        with pytest.raises(BackendUnavailableError, match="cannot be reached"):
            backend(no_server).check()


class TestSetUp:
    def test_openai_wants_a_key(self):
        with pytest.raises(BackendUnavailableError, match="^OPENAI_API_KEY is not set; export it"):
            OpenAIBackend()

    def test_others_do_not(self, server, question):
        OpenAIBackend("m", server.plays(server.completion("{}"))).complete(question)

    def test_the_environment(self, server, question, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
        monkeypatch.setenv("OPENAI_BASE_URL", server.plays(server.completion("{}")))
        OpenAIBackend("gpt-3.5-turbo").complete(question)
        assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
        assert server.seen[0].body["model"] == "gpt-3.5-turbo"

    @pytest.mark.parametrize("key", ["sk-…", "sk-\n-a"])
    def test_a_key_no_header_can_carry(self, key):
        with pytest.raises(BackendUnavailableError, match="OPENAI_API_KEY holds odd") as caught:
            OpenAIBackend(api_key=key)
        assert key not in str(caught.value)

    @pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://host", "http://"])
    def test_no_address(self, url):
        with pytest.raises(BackendUnavailableError, match="must begin with http"):
            OpenAIBackend(base_url=url)

    def test_secrets_in_the_address_stay_secret(self, no_server, question):
        url = no_server.replace("//", "//user:hunter2@") + "/v1/?token=hunter3#hunter4"
        model = OpenAIBackend("m", url, api_key=KEY)
        assert model.identity == {"backend": "openai", "model": "m", "url": f"{no_server}/v1"}
        with pytest.raises(BackendUnavailableError) as caught:
            model.complete(question)
        assert "hunter" not in str(caught.value)


def test_the_answer_is_found_among_several_and_as_an_object() -> None:
    empty, answer = {"message": {"content": " "}}, {"message": {"content": {"units": 32}}}
    backend = OpenAIBackend("m", "http://127.0.0.1:9/v1")
    assert backend._read({"choices": [empty, answer]}).text == '{"units": 32}'
    assert backend._read({"choices": [empty, empty]}).text == " "
