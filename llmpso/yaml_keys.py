"""Duplicate keys in a YAML mapping: readers silently take the later one."""

from collections.abc import Iterator
from typing import Any


def repeated_key(node: Any) -> str | None:
    """Which key is duplicated in a mapping, and in which line; None if none is.

    Args:
        node: What PyYAML or ruamel.yaml composed of a document; None if it is empty.
    """
    for mapping in _mappings(node, set()):
        keys = [key for key, _ in mapping.value if key.id == "scalar"]
        for place, key in enumerate(keys):
            if key.value in (earlier.value for earlier in keys[:place]):
                return f'line {key.start_mark.line + 1}: found duplicate key "{key.value}"'
    return None


def _mappings(node: Any, seen: set[int]) -> Iterator[Any]:
    """All mappings of a document, each once: one may hold itself by reference."""
    if node is None or node.id == "scalar" or id(node) in seen:
        return
    seen.add(id(node))
    if node.id == "mapping":
        yield node
    for child in node.value:
        for part in child if isinstance(child, tuple) else (child,):
            yield from _mappings(part, seen)
