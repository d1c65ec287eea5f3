"""Labelled images in three parts: for training, for tuning, and for the final test."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from llmpso.errors import DataError

Pixels = NDArray[np.uint8]
"""Shape (n_images, height, width, channels); one channel is grey, three are RGB."""

Labels = NDArray[np.int64]
"""Index of each image's class, shape (n_images,)."""

MIN_SIDE = 8
"""Pixels; smaller images are too small for a convolution."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with the class of each."""

    pixels: Pixels
    labels: Labels

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of several classes in three parts, and where they come from.

    Raises:
        DataError: There is nothing to learn from; the text names the class and the way out.
    """

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    class_names: tuple[str, ...]
    """By index; each occurs in every part."""
    name: str
    """Short name, fit for a file or a registered model."""
    description: str
    """What the images show and how they were split, in one sentence."""
    source: str
    """Where they come from, and under which licence if that is known."""
    notes: tuple[str, ...] = ()
    """What was left out, decided or changed while reading, a sentence each."""

    def __post_init__(self) -> None:
        """Refuse images that cannot be learned from."""
        if len(self.class_names) < 2:
            raise DataError(
                f"{self.name!r} has only the class {', '.join(self.class_names)!r}; telling "
                "classes apart needs two or more"
            )
        for part, images in self.parts():
            self._check_classes(part, images)
        height, width, _ = self.shape
        if min(height, width) < MIN_SIDE:
            raise DataError(
                f"images of {self.name!r} are {width} × {height} pixels; {MIN_SIDE} × {MIN_SIDE} "
                "are needed"
            )
        if np.ptp(self.train.pixels) == 0:
            raise DataError(
                f"all pixels of the training images of {self.name!r} have the value "
                f"{self.train.pixels.flat[0]}; there is nothing to learn"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        _, height, width, channels = self.train.pixels.shape
        return height, width, channels

    def parts(self) -> Iterator[tuple[str, LabelledImages]]:
        """The parts by name."""
        yield from (("training", self.train), ("validation", self.validation), ("test", self.test))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that a classifier can depend on; equal for equal content."""
        digest = hashlib.sha256(repr((self.class_names, self.shape)).encode())
        for _, images in self.parts():
            digest.update(images.labels.tobytes())
            digest.update(images.pixels.tobytes())
        return digest.hexdigest()

    def _check_classes(self, part: str, images: LabelledImages) -> None:
        counts = np.bincount(images.labels, minlength=len(self.class_names))
        for name, count in zip(self.class_names, counts, strict=True):
            if count == 0:
                raise DataError(
                    f"class {name!r} of {self.name!r} has no image in the {part} part; add "
                    "images of it, or leave the class out with classes"
                )
