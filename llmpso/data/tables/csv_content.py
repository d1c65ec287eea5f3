"""From the bytes of a CSV file to its text: compression and encoding."""

import bz2
import codecs
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from llmpso.errors import DataError

_BOMS = (
    # UTF-32 first, because its mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FALLBACK = "cp1252"
_PACKED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""Functions that open packed files, by the first bytes: file names are often wrong."""

_ZIP = b"PK\x03\x04"
_FOREIGN = {
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
    b"CDF": "a NetCDF file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"SQLite format 3": "a SQLite data base",
    b"ARROW1": "an Arrow file",
    b"%PDF": "a PDF",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard",
    b"7z\xbc\xaf": "packed with 7-Zip",
}
"""File types that are mistaken for CSV, by the first bytes."""

_SAVE_AS_CSV = "save the table as CSV"
_OF_ZIP = (zipfile.BadZipFile, RuntimeError, NotImplementedError)
"""`RuntimeError` is how zipfile says that it needs a password."""

MAX_BYTES = 2 * 1024**3
"""A table takes several times as much memory as its text; a packed file may state a wrong size."""


def read_text(path: Path, encoding: str | None, notes: list[str]) -> str:
    """The text of a file.

    Args:
        path: The file; what gzip, bzip2, xz or zip packed is unpacked, whatever its name.
        encoding: Its encoding; found if None.
        notes: Gets a line where the encoding is a guess.

    Raises:
        DataError: There is no such file, or it cannot be read as text.
    """
    content = _content(path)
    _check_kind(path, content)
    chosen = encoding or _encoding(content, notes)
    try:
        text = content.decode(chosen)
    except LookupError as error:
        raise DataError(
            f"encoding is {chosen!r}; it must be one that Python knows, such as utf-8, cp1252, "
            "utf-16 or shift_jis"
        ) from error
    except UnicodeError as error:
        tried = f"no text in {chosen} ({error})" if encoding else "no text in a known encoding"
        raise DataError(
            f"file {str(path)!r} is {tried}; name its encoding with encoding"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"file {str(path)!r} holds a NUL character in line {line}: it was cut off or is no "
            "text; correct it, or name its encoding with encoding"
        )
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(16)
        if head.startswith(_ZIP):
            return _member(path)
        opener = next(
            (opener for mark, opener in _PACKED.items() if head.startswith(mark)), _plain
        )
        with opener(path) as stream:
            return _bounded(path, stream)
    except FileNotFoundError as error:
        raise DataError(f"file {str(path)!r} does not exist; check the path") from error
    except (OSError, EOFError, zlib.error, lzma.LZMAError, *_OF_ZIP) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError(f"file {str(path)!r} cannot be read: {reason}") from error


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _member(path: Path) -> bytes:
    """The one file of an archive, besides files of the operating system."""
    with zipfile.ZipFile(path) as archive:
        all_names = [name for name in archive.namelist() if not name.endswith("/")]
        if "[Content_Types].xml" in all_names:
            raise DataError(f"file {str(path)!r} is an Excel workbook; {_SAVE_AS_CSV}")
        names = [name for name in all_names if not any(map(_is_junk, Path(name).parts))]
        if len(names) != 1:
            raise DataError(f"file {str(path)!r} holds {len(names)} files; it must hold one")
        with archive.open(names[0]) as stream:
            return _bounded(path, stream)


def _is_junk(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _check_kind(path: Path, content: bytes) -> None:
    """Refuse a file of a known type that is not CSV."""
    kind = next((kind for mark, kind in _FOREIGN.items() if content.startswith(mark)), None)
    head = content[:200].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        kind = "a web page"
    elif head.startswith(b"<?xml"):
        kind = "XML"
    elif head.startswith((b'{"', b'[{"', b"[\n", b"{\n")):
        kind = "JSON"
    if kind is not None:
        raise DataError(f"file {str(path)!r} is {kind}; {_SAVE_AS_CSV}")


def _bounded(path: Path, stream: IO[bytes]) -> bytes:
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DataError(
            f"file {str(path)!r} holds more than {MAX_BYTES // 1024**3} GiB; keep the columns and "
            "the rows that a forecast needs"
        )
    return content


def _encoding(content: bytes, notes: list[str]) -> str:
    """By the mark at the start; else UTF-8, unless the bytes are no UTF-8."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return encoding
    head = content[:2000]
    if head and head[1::2].count(0) > 0.4 * len(head):
        return "utf-16-le"
    if head and head[::2].count(0) > 0.4 * len(head):
        return "utf-16-be"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        notes.append(
            "the file is not in UTF-8: it is read as Windows-1252 (Western European); another "
            "encoding is named with encoding"
        )
        return _FALLBACK
    return "utf-8"
