"""What may become of a file: a test that asks for `damage` meets each of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def filled_with_nul(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def one_bit_changed(path: Path) -> None:
    content = bytearray(path.read_bytes() or b" ")
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def removed(path: Path) -> None:
    path.unlink()


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").touch()


def replaced_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def linked_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00\xd8\n")


def other_json(path: Path) -> None:
    path.write_text('[{"sha256": 1}, null]\n')


def nested_json(path: Path) -> None:
    path.write_text("[" * 100_000 + "\n")


DAMAGES = (
    emptied,
    halved,
    filled_with_nul,
    one_bit_changed,
    removed,
    replaced_by_folder,
    replaced_by_pipe,
    linked_to_itself,
    no_text,
    other_json,
    nested_json,
)
"""What a power cut, a full disk, a bad one or a hand may make of a file."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `damage` is run with each."""
    if "damage" in metafunc.fixturenames:
        metafunc.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)


@pytest.fixture
def damages() -> tuple[Callable[[Path], None], ...]:
    """All of them, for a test that tries them at once."""
    return DAMAGES
