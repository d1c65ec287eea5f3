"""Foreign words have no meaning in Markdown and HTML."""

import json

import pytest

from llmpso.escaping import code, fenced, json_in_html, markdown, paragraphs

HOSTILE = [
    "a | b",
    "`code`",
    "**bold** _it_ __x__ ~~gone~~",
    "[x](javascript:alert(1)) ![i](http://host/i.png)",
    "<script>alert(1)</script> &lt;",
    "$x$",
    "# head",
    "> said",
    "- item",
    "http://host/path",
    "back\\slash\\|",
    "two\nlines\r\nand \u2028 more",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_is_shown_as_it_is(text) -> None:
    """By the parser of Jupyter, which follows CommonMark."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    [paragraph] = [token for token in parser.parse(markdown(text)) if token.type == "inline"]
    assert {child.type for child in paragraph.children} <= {"text", "text_special"}
    shown = "".join(child.content for child in paragraph.children)
    assert shown == " ".join(text.split()).replace("\u2028", "�")


@pytest.mark.parametrize("text", [*HOSTILE, "``", "`", "a`b``c", " "])
def test_a_table_keeps_its_cells(text) -> None:
    parser = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    table = f"| {markdown('|x|')} | best |\n| --- | --- |\n| {markdown(text)} | {code(text)} |"
    tokens = parser.parse(table)
    assert [token.type for token in tokens].count("td_open") == 2
    cells = [token for token in tokens if token.type == "inline"]
    assert [child.type for child in cells[-1].children] == ["code_inline"]


def test_a_block_of_code_ends_where_it_should() -> None:
    assert fenced("a\n```\nb").startswith("````\n")
    assert fenced("a") == "```\na\n```"


def test_paragraphs_stay() -> None:
    assert paragraphs(" one *x*\n\n# two ") == "one \\*x\\*\n\n\\# two"


def test_json_cannot_leave_its_script() -> None:
    content = {"<!--<script>": ["</script>", "\u2028\u2029", "&lt;", "größe"]}
    text = json_in_html(content)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == content
