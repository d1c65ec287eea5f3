"""Images of your own: a folder with one folder per class, or arrays in an npz file."""

from pathlib import Path

import numpy as np

from llmpso.data.image_collection import Groups, grouped, parts_of
from llmpso.data.image_folder import read_folder
from llmpso.data.image_npz import read_npz
from llmpso.data.images import ImageSet, LabelledImages
from llmpso.errors import DataError

SIDE = 32
"""Pixels to which the images of a folder are brought, both ways."""


def load_images(path: str | Path, *, groups: Groups | None = None, side: int = SIDE) -> ImageSet:
    """Images from a folder or an npz file.

    A folder holds `class/…jpg`, or `train/class/…jpg` and `test/class/…jpg`; its images are
    resized to squares, and become RGB unless all of them are grey. An npz file holds `images`
    (uint8, all of one size), `labels`, and may hold `class_names` and `split`. Parts that are
    not given are drawn class by class: a fifth for the test, a fifth for validation.

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
    )
