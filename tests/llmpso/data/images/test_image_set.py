from dataclasses import replace

import numpy as np
import pytest

from llmpso.data.images.image_set import ImageSet, LabelledImages
from llmpso.data.images.textures import PATCH, load_textures
from llmpso.errors import DataError


def labelled(n: int = 4, n_classes: int = 2, side: int = 8, seed: int = 0) -> LabelledImages:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, side, side, 1), dtype=np.uint8)
    return LabelledImages(pixels, np.arange(n) % n_classes)


def images(**changes) -> ImageSet:
    fields = {
        "train": labelled(seed=0),
        "validation": labelled(seed=1),
        "test": labelled(seed=2),
        "class_names": ("can", "jar"),
        "name": "waste",
        "description": "photographs",
        "source": "a test",
    }
    return ImageSet(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": ("can",)}, "'waste' has only the class 'can'; telling classes apart"),
        ({"test": labelled(n_classes=1)}, "class 'jar' of 'waste' has no image in the test part"),
        ({"train": labelled(side=4)}, "images of 'waste' are 4 × 4 pixels; 8 × 8 are needed"),
        (
            {"train": replace(labelled(), pixels=np.full((4, 8, 8, 1), 7, dtype=np.uint8))},
            "all pixels of the training images of 'waste' have the value 7",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        images(**changes)


def test_the_fingerprint_follows_the_content():
    same, other = images(name="other"), images(test=labelled(seed=3))
    assert images().fingerprint == same.fingerprint != other.fingerprint


def test_textures_are_split_by_rows_without_overlap():
    from skimage import data

    textures = load_textures()
    assert textures.shape == (PATCH, PATCH, 1)
    assert [len(part) for _, part in textures.parts()] == [1920, 576, 576]
    for _, part in textures.parts():
        assert len(set(np.bincount(part.labels))) == 1
    # Put side by side again, the patches are the photograph, each row of it in one part alone.
    patches = [part.pixels[part.labels == 1, :, :, 0] for _, part in textures.parts()]
    rows = np.concatenate(patches).reshape(32, 32, PATCH, PATCH)
    assert np.array_equal(rows.swapaxes(1, 2).reshape(512, 512), data.grass())
