"""Images and labels as arrays in an npz file."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpso.data.image_collection import SPLITS, Collection, described
from llmpso.errors import DataError


def read_npz(path: Path) -> Collection:
    """The arrays `images`, `labels` and, where they are, `class_names` and `split`.

    Raises:
        DataError: They are missing or do not fit each other.
    """
    arrays = _arrays(path)
    for name in ("images", "labels"):
        if name not in arrays:
            raise DataError(f"file {str(path)!r} has no array {name!r}; it has {list(arrays)}")
    pixels, labels = arrays["images"], arrays["labels"]
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] not in (1, 3):
        raise DataError(
            f"images of {str(path)!r} are {pixels.dtype} of shape {arrays['images'].shape}; they "
            "must be uint8 of shape (n, height, width), grey, or (n, height, width, 3), RGB"
        )
    for name in ("labels", "split"):
        if name in arrays and len(arrays[name]) != len(pixels):
            raise DataError(
                f"{name} of {str(path)!r} has {len(arrays[name])} entries for {len(pixels)} images"
            )
    return Collection(
        pixels=pixels,
        labels=_named(path, labels, arrays.get("class_names")),
        parts=_given_parts(path, arrays["split"]) if "split" in arrays else None,
        description=described(path, pixels),
    )


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Opened as an archive first: numpy would also read an array alone.
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"file {str(path)!r} cannot be read as npz ({' '.join(str(error).split())}); name an "
            "npz file of plain arrays, or a folder of images"
        ) from error


def _named(path: Path, labels: NDArray[Any], class_names: NDArray[Any] | None) -> NDArray[np.str_]:
    if labels.ndim != 1:
        raise DataError(f"labels of {str(path)!r} have shape {labels.shape}; they must be a list")
    if class_names is None or not np.issubdtype(labels.dtype, np.integer):
        return labels.astype(str)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(class_names):
        raise DataError(
            f"labels of {str(path)!r} go from {labels.min()} to {labels.max()}, but class_names "
            f"has {len(class_names)} entries"
        )
    return np.asarray(class_names.astype(str)[labels])


def _given_parts(path: Path, split: NDArray[Any]) -> NDArray[np.str_]:
    names = np.unique(split.astype(str)).tolist()
    unknown = [name for name in names if name.lower() not in SPLITS]
    if unknown:
        raise DataError(
            f"split of {str(path)!r} holds {unknown[0]!r}; it must hold train, validation or test"
        )
    parts = np.array([SPLITS[name.lower()] for name in split.astype(str).tolist()])
    if not {"train", "test"} <= set(parts.tolist()):
        raise DataError(f"split of {str(path)!r} holds only {names}; train and test are needed")
    return parts
