"""Other people's words are repeated without the secrets in them."""

import html
import json
from urllib.parse import quote, quote_plus

import pytest

from llmpso.masking import known_secrets, masked
from llmpso.text import one_line

CANARY = "canary-9f8e7d6c"


@pytest.mark.parametrize(
    "text",
    [
        f"API request to http://me:{CANARY}@host/api/2.0 failed",
        f"refused: 'postgresql://me:{CANARY}@db/x', and ftp://{CANARY}@host",
        f"GET https://host/v1?a=1&access_token={CANARY}&b=2 timed out",
        f"headers {{'Authorization': 'Bearer {CANARY}'}}",
        "headers: Basic bWU6Y2FuYXJ5LTlmOGU3ZDZj",
    ],
)
def test_what_is_a_secret_by_its_place_is_masked(text) -> None:
    assert CANARY not in masked(text)
    assert "bWU6" not in masked(text)
    assert "***" in one_line(text)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("SERVICE_API_KEY", CANARY, CANARY),
        ("PGPASSWORD", f" {CANARY}\n", CANARY),
        ("DATABASE", f"postgresql://me:{CANARY}@db/x", CANARY),
        ("DATABASE", "postgresql://me:canary%2F4711@db/x", "canary/4711"),
        ("HTTPS_PROXY", f"http://me:{CANARY}@proxy:3128", CANARY),
        ("ENDPOINT", f"https://host/v1?subscription-key={CANARY}", CANARY),
        ("MYSQL_PWD", CANARY, CANARY),
        ("API_KEYS_2", CANARY, CANARY),
    ],
)
def test_secrets_of_the_environment_are_masked_anywhere(monkeypatch, name, value, secret) -> None:
    monkeypatch.setenv(name, value)
    assert masked(f"I was given {secret}!") == "I was given ***!"
    assert secret not in one_line(RuntimeError(f"{'x' * 495} {secret}"))


@pytest.mark.parametrize("reported", [json.dumps, repr, quote, quote_plus, html.escape])
def test_a_secret_is_known_in_the_forms_that_libraries_give_it(monkeypatch, reported) -> None:
    secret = 'top "secret"/\\ü & <more>\nlines'
    monkeypatch.setenv("SERVICE_PASSWORD", secret)
    assert "secret" not in masked(f"I was given {reported(secret)}!")
    assert "secret" not in one_line(f"I was given {secret}!")


def test_text_is_left_unchanged() -> None:
    environment = {"PWD": "/home/someone", "API_KEY": "x", "TOKENIZERS": "parallel"}
    assert known_secrets(environment) == []
    text = "max_tokens: 16 is too low; Basic authentication failed; see https://host/a?page=2"
    assert masked(text) == text


def test_a_hostile_text_is_masked_in_no_time() -> None:
    for hostile in ("a://", "?key", "Bearer ", "a" * 50, "&;?=@"):
        assert len(one_line(hostile * 200_000)) <= 500
