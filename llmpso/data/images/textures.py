"""Real material surfaces that come with an installed package: brick, grass and gravel."""

import numpy as np

from llmpso.data.images.image_set import ImageSet, LabelledImages, Pixels
from llmpso.data.series.windows import split_rows
from llmpso.errors import DataError
from llmpso.extras import needed_by

TEXTURES = ("brick", "grass", "gravel")

PATCH = 16
"""Side of a patch in pixels; with 32 a network of one layer leaves nothing to tune."""


def load_textures() -> ImageSet:
    """Grey patches of three photographed surfaces, 512 × 512 pixels each.

    Split by rows of the photographs, from top to bottom, and without overlap: neighbouring
    patches share their texture, so that a random split would show a model its own test.

    Raises:
        DataError: The package with the photographs is not installed.
    """
    parts: tuple[list[Pixels], ...] = ([], [], [])
    for photograph in _photographs():
        rows = _patches(photograph)
        for part, chosen in zip(parts, split_rows(len(rows)), strict=True):
            part.append(np.concatenate(rows[chosen]))
    train, validation, test = (_labelled(part) for part in parts)
    n_patches = len(train) + len(validation) + len(test)
    return ImageSet(
        train=train,
        validation=validation,
        test=test,
        class_names=TEXTURES,
        name="textures",
        description=(
            f"{n_patches:,} patches of photographs of brick, grass and gravel, split by rows of "
            "the photographs"
        ),
        source="scikit-image, skimage.data (CC0)",
    )


def _photographs() -> list[Pixels]:
    with needed_by("the data of the objective 'cnn'", "demo", DataError):
        # Here, because the import takes a second, and no other objective needs it.
        from skimage import data
    return [np.asarray(getattr(data, name)(), dtype=np.uint8) for name in TEXTURES]


def _patches(photograph: Pixels) -> list[Pixels]:
    """The patches of each row, every row of shape (n_patches, PATCH, PATCH, 1)."""
    rows, columns = (side // PATCH for side in photograph.shape)
    cut = photograph[: rows * PATCH, : columns * PATCH]
    grid = cut.reshape(rows, PATCH, columns, PATCH, 1).swapaxes(1, 2)
    return list(grid)


def _labelled(patches: list[Pixels]) -> LabelledImages:
    labels = np.repeat(np.arange(len(patches)), [len(some) for some in patches])
    return LabelledImages(np.concatenate(patches), labels)
