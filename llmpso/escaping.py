"""Text from outside within Markdown, HTML and pictures: shown as it is, never interpreted.

HTML is escaped by the standard library; no library escapes all of the Markdown that Prefect
renders (tables, links, formulas), and Jinja's JSON filter is not worth the dependency.
"""

import html
import json
import re

from llmpso.text import one_line

_MARKS = re.compile(r"([\\`*\[\]<>|~$&!]|(?<![^\W_])_|_(?![^\W_])|^\s*[#>+-](?=\s)|://)")

_IN_SCRIPTS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}


def markdown(text: str, limit: int = 500) -> str:
    r"""Text as one line of Markdown, without any meaning there.

    Example:
        >>> markdown("a|b <i>[x](y)"), markdown("learning_rate")
        ('a\\\\|b \\\\<i\\\\>\\\\[x\\\\](y)', 'learning_rate')
    """
    return _MARKS.sub(_escaped, one_line(text, limit))


def paragraphs(text: str) -> str:
    """Text of several lines as Markdown, with its lines and paragraphs."""
    return "\n".join(markdown(line, 2_000) for line in text.strip().splitlines())


def code(text: str) -> str:
    """Text as code within a line or a cell of Markdown."""
    line = one_line(text, 200).replace("|", r"\|")
    fence = _longer_than_any(line, "`", 1)
    frame = " " if line.startswith("`") or line.endswith("`") or not line.strip() else ""
    return f"{fence}{frame}{line}{frame}{fence}"


def fenced(text: str) -> str:
    """Text of several lines as a block of code."""
    fence = _longer_than_any(text, "`", 3)
    return f"{fence}\n{text}\n{fence}"


def in_html(text: str) -> str:
    """Text as one line of HTML, without any meaning there."""
    return html.escape(one_line(text, 2_000))


def json_in_html(content: object) -> str:
    """Plain values as JSON that is safe within a script of a page.

    `<` in it would end the script, or (`<!--<script>`) swallow the rest of the page.
    """
    return json.dumps(content).translate(_IN_SCRIPTS)


def literal(text: str) -> str:
    """Text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")


def _escaped(found: re.Match[str]) -> str:
    text = found[0]
    # An address would become a link.
    return r":\//" if text == "://" else f"{text[:-1]}\\{text[-1]}"


def _longer_than_any(text: str, mark: str, least: int) -> str:
    longest = max(map(len, re.findall(f"{re.escape(mark)}+", text)), default=0)
    return mark * max(least, longest + 1)
