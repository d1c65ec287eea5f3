"""Tables in HTML, for pages and notebooks; every text in them is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmpso.escaping import in_html
from llmpso.text import brief, short

TABLE_STYLE = """
table.llmpso { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums }
table.llmpso :is(th, td) { text-align: left !important; vertical-align: top;
  padding: .15rem .9rem .15rem 0; border-bottom: 1px solid #8884; overflow-wrap: anywhere }
table.llmpso .number { text-align: right !important }
.llmpso-wide { overflow-x: auto }
"""
"""Neutral, so that it suits a light and a dark page; a notebook's own style is stronger."""


def facts_table(facts: Mapping[str, str]) -> str:
    """A line for each fact: its name and its value."""
    rows = "".join(
        f"<tr><th>{in_html(name)}</th><td>{in_html(text)}</td></tr>"
        for name, text in facts.items()
    )
    return f'<table class="llmpso">{rows}</table>'


def rows_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows below the names of their columns; a dash where a row has no value."""
    head = "".join(f"<th>{in_html(brief(column))}</th>" for column in columns)
    body = "".join(
        f"<tr>{''.join(_cell(row.get(column)) for column in columns)}</tr>" for row in rows
    )
    table = f'<table class="llmpso"><tr>{head}</tr>{body}</table>'
    return f'<div class="llmpso-wide">{table}</div>'


def _cell(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    kind = ' class="number"' if is_number else ""
    return f"<td{kind}>{'–' if value is None else in_html(short(value))}</td>"
