"""Images and labels as arrays in an npz file."""

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpso.data.images.classes_and_parts import SPLITS, Collection, described, order_of
from llmpso.errors import DataError
from llmpso.text import plural

ARRAYS = ("images", "labels", "class_names", "split")
"""The arrays that are read; others in the file are ignored."""

MAX_BYTES = 4 * 1024**3
"""Of one array: a small file can claim terabytes."""

_UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError)
"""`RuntimeError` is how zipfile says that it needs a password, or a method it does not know."""


def read_npz(path: Path) -> Collection:
    """The arrays `images`, `labels` and, where they are, `class_names` and `split`.

    Raises:
        DataError: They are missing or do not fit each other.
    """
    arrays = _arrays(path)
    pixels, labels = arrays["images"], arrays["labels"]
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if not len(pixels):
        raise DataError(f"file {str(path)!r} holds no image")
    for name in ("labels", "split"):
        if name in arrays and len(arrays[name]) != len(pixels):
            raise DataError(
                f"{name} of {str(path)!r} has {plural(len(arrays[name]), 'entry', 'entries')} for "
                f"{plural(len(pixels), 'image')}"
            )
    return Collection(
        pixels=pixels,
        labels=_named(path, labels, arrays.get("class_names")),
        parts=_given_parts(path, arrays["split"]) if "split" in arrays else None,
        order=order_of(pixels),
        description=described(path, pixels),
    )


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays that are used, read only once all of them are known to fit."""
    try:
        # Opened as an archive first: numpy would also read a single array.
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            _check_names(path, list(members))
            used = [name for name in ARRAYS if name in members]
            for name in used:
                _check_header(path, name, archive, members[name])
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in used}
    except DataError:
        raise
    except _UNREADABLE as error:
        raise DataError(
            f"file {str(path)!r} cannot be read as npz ({' '.join(str(error).split())}); name an "
            "npz file of plain arrays, or a folder of images"
        ) from error


def _check_names(path: Path, names: list[str]) -> None:
    for name in ("images", "labels"):
        if name not in names:
            raise DataError(f"file {str(path)!r} has no array {name!r}; it has {names}")


def _check_header(path: Path, name: str, archive: zipfile.ZipFile, member: str) -> None:
    """Refuse an array by its header, before memory is allocated for it."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0}
        shape, _, dtype = read.get(version, np.lib.format.read_array_header_2_0)(stream)
        n_header = stream.tell()
    if dtype.hasobject:
        raise DataError(
            f"{name} of {str(path)!r} holds Python objects, which are not read as they may hold "
            "code; store plain numbers or text"
        )
    if name == "images":
        _check_images(path, shape, dtype)
    claimed, there = math.prod(shape) * dtype.itemsize, archive.getinfo(member).file_size
    if claimed != there - n_header or claimed > MAX_BYTES:
        raise DataError(
            f"{name} of {str(path)!r} claims the shape {shape} of {dtype}, {claimed:,} bytes; the "
            f"file has {there - n_header:,} for it, and {MAX_BYTES:,} may be"
        )


def _check_images(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    is_grey, is_coloured = len(shape) == 3, len(shape) == 4 and shape[-1] in (1, 3)
    if dtype != np.uint8 or not (is_grey or is_coloured):
        raise DataError(
            f"images of {str(path)!r} are {dtype} of shape {shape}; they must be uint8 of shape "
            "(n, height, width), grey, or (n, height, width, 3), RGB"
        )


def _named(path: Path, labels: NDArray[Any], class_names: NDArray[Any] | None) -> NDArray[np.str_]:
    if labels.ndim != 1:
        raise DataError(f"labels of {str(path)!r} have shape {labels.shape}; they must be a list")
    if np.issubdtype(labels.dtype, np.floating):
        labels = _whole(path, labels)
    if class_names is None or not np.issubdtype(labels.dtype, np.integer):
        return labels.astype(str)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(class_names):
        raise DataError(
            f"labels of {str(path)!r} go from {labels.min()} to {labels.max()}, but class_names "
            f"has {plural(len(class_names), 'entry', 'entries')}"
        )
    return np.asarray(class_names.astype(str)[labels])


def _whole(path: Path, labels: NDArray[Any]) -> NDArray[np.int64]:
    wrong = labels[~np.isfinite(labels) | (labels % 1 != 0)]
    if len(wrong):
        raise DataError(
            f"labels of {str(path)!r} hold {wrong[0]}, which is no class; they must be whole "
            "numbers or text"
        )
    return labels.astype(np.int64)


def _given_parts(path: Path, split: NDArray[Any]) -> NDArray[np.str_]:
    names = np.unique(split.astype(str)).tolist()
    unknown = [name for name in names if name.lower() not in SPLITS]
    if unknown:
        raise DataError(
            f"split of {str(path)!r} holds {unknown[0]!r}; it must hold train, validation or test"
        )
    parts = np.array([SPLITS[name.lower()] for name in split.astype(str).tolist()])
    if "train" not in parts or len({*parts.tolist()}) < 2:
        raise DataError(
            f"split of {str(path)!r} holds only {names}; train and test are needed, or train and "
            "validation"
        )
    return parts
