import pytest

from llmpso.text import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  two\n\twords ", "two words"),
        ("a\x00b\x1b[31mc", "a�b�[31mc"),
        ("lone \ud800 surrogate", "lone � surrogate"),
        ("\u202emtsl\u200b", "�mtsl�"),
        ("größer 漢字 💥", "größer 漢字 💥"),
        ("x" * 501, "x" * 500),
    ],
)
def test_only_what_can_be_shown_is_left(text, line):
    assert one_line(text) == line
    line.encode()
