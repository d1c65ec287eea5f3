"""What a model costs: by its name at OpenAI, as given, or unknown."""

import pytest

from llmpso.errors import SpecError
from llmpso.options import AllOptions
from llmpso.token_prices import TokenPrice, known_price

OPENAI = {"backend": "openai", "model": "gpt-4o-mini", "url": "https://api.openai.com/v1"}


def test_a_name_has_a_price_only_at_openai() -> None:
    assert known_price(OPENAI).of(1_000_000, 1_000_000) == pytest.approx(0.75)
    assert known_price(OPENAI | {"url": "http://127.0.0.1:8000/v1"}) is None
    assert known_price(OPENAI | {"model": "another"}) is None
    assert known_price({"backend": "ollama", "model": "llama3"}) is None
    assert known_price({"backend": "embedded", "model": "any.gguf"}).of(9, 9) == 0.0


def test_a_price_can_be_given() -> None:
    assert AllOptions(llm_price="1/2.5").llm.price == TokenPrice(1.0, 2.5)
    assert AllOptions().llm.price is None


@pytest.mark.parametrize("text", ["1", "a/b", "1/2/3", "-1/2", "nan/1", "1/inf"])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=f"llm_price is '{text}'; it must be dollars per million"):
        AllOptions(llm_price=text)
