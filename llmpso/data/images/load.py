"""Images of your own: a folder with one folder per class, or arrays in an npz file."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmpso.data.images.classes_and_parts import Collection, Groups, grouped, parts_of
from llmpso.data.images.image_folder import read_folder
from llmpso.data.images.image_set import ImageSet, LabelledImages, Labels
from llmpso.data.images.npz_arrays import read_npz
from llmpso.errors import DataError
from llmpso.text import plural

logger = logging.getLogger(__name__)

SIDE = 32
"""Side of the square, in pixels, to which the images of a folder are scaled."""


def load_images(path: str | Path, *, groups: Groups | None = None, side: int = SIDE) -> ImageSet:
    """Images from a folder or an npz file.

    A folder holds `class/…jpg`, or `train/class/…jpg` and the same in `val`, `test` or both; its
    images are resized to squares, and become RGB unless all of them are grey. An npz file holds
    `images` (uint8, all of one size), `labels`, and may hold `class_names` and `split`. Parts
    that are not given are drawn class by class: a fifth for the test, a fifth for validation.

    Args:
        path: The folder or file.
        groups: Classes to count as one, by the name of the group; others are left out.
        side: Pixels of the squares that the images of a folder become.

    Raises:
        DataError: The images cannot be used; the text names the file or class and the way out.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"images {str(path)!r} does not exist; check the path")
    collection = read_folder(path, side) if path.is_dir() else read_npz(path)
    if groups:
        collection = grouped(collection, groups)
    class_names = tuple(np.unique(collection.labels).tolist())
    labels = np.searchsorted(np.array(class_names), collection.labels).astype(np.int64)
    parts = parts_of(collection, labels, class_names)
    notes = (*collection.notes, *_split_notes(collection, parts, labels))
    for note in notes:
        logger.info("%s", note)
    train, validation, test = (
        LabelledImages(collection.pixels[parts == name], labels[parts == name])
        for name in ("train", "validation", "test")
    )
    return ImageSet(
        train=train,
        validation=validation,
        test=test,
        class_names=class_names,
        name=path.stem,
        description=collection.description,
        source=str(path),
        notes=notes,
    )


def _split_notes(collection: Collection, parts: NDArray[np.str_], labels: Labels) -> Iterator[str]:
    """Notes on the split: which part is drawn at random, and which images occur in two parts."""
    given = set() if collection.parts is None else set(collection.parts.tolist())
    if given and "test" not in given:
        yield "there is no test part: a fifth of the training images of each class is taken for it"
    seen = [hashlib.sha256(image.tobytes()).digest() for image in collection.pixels]
    trained_on = {key for key, part in zip(seen, parts, strict=True) if part == "train"}
    shared = Counter(
        str(part)
        for key, part in zip(seen, parts, strict=True)
        if part != "train" and key in trained_on
    )
    if shared:
        counts = " and ".join(
            f"{plural(n, 'image')} of the {part} part" for part, n in shared.items()
        )
        are = "is" if shared.total() == 1 else "are"
        yield f"{counts} {are} among the training images too: errors on them are too low"
    n_torn = len({*zip(seen, labels.tolist(), strict=True)}) - len({*seen})
    if n_torn:
        occur = plural(n_torn, "image occurs", "images occur")
        yield f"{occur} in several classes: nothing can tell them apart"
