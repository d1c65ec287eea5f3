"""Images as files, in one folder per class."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llmpso.data.images.classes_and_parts import Collection, described, order_of
from llmpso.data.images.decoding import Decoded, as_pixels, decode
from llmpso.data.images.file_listing import list_images
from llmpso.text import plural

logger = logging.getLogger(__name__)


def read_folder(path: Path, side: int) -> Collection:
    """The images of a folder, resized to squares; RGB, unless all of them are grey.

    Raises:
        DataError: It holds no images in folders, or one that cannot be read.
    """
    notes: list[str] = []
    listed = list_images(path, notes)
    decoded = [decode(image.file, side) for image in listed]
    pixels = as_pixels(decoded, notes)
    if all(image.is_grey for image in decoded):
        pixels = pixels[..., :1]
    _note_changes(decoded, side, notes)
    sizes = {image.size for image in decoded}
    given = [image.part for image in listed if image.part]
    return Collection(
        pixels=pixels,
        labels=np.array([image.label for image in listed]),
        parts=np.array(given) if given else None,
        order=order_of(image.values for image in decoded),
        description=f"{described(path, pixels)}{_resized(sizes, side)}",
        notes=tuple(notes),
    )


def _resized(sizes: set[tuple[int, int]], side: int) -> str:
    if sizes == {(side, side)}:
        return ""
    if len(sizes) > 1:
        return f", resized from {len(sizes)} different sizes"
    width, height = next(iter(sizes))
    return f", resized from {width} × {height} pixels"


def _note_changes(decoded: Sequence[Decoded], side: int, notes: list[str]) -> None:
    """Note what was done to images of different size or mode."""
    modes = Counter(image.mode for image in decoded)
    if len(modes) > 1 and not all(image.is_grey for image in decoded):
        found = ", ".join(f"{count} {mode}" for mode, count in modes.most_common())
        notes.append(f"images are of several modes ({found}); all become RGB")
    if n_transparent := sum(image.is_transparent for image in decoded):
        one = "image is transparent in part: it is"
        several = "images are transparent in part: they are"
        notes.append(f"{plural(n_transparent, one, several)} put on white")
    if n_moving := sum(image.n_frames > 1 for image in decoded):
        have = plural(n_moving, "image has", "images have")
        notes.append(f"{have} several frames or pages: the first is taken")
    sizes = {image.size for image in decoded}
    if sizes != {(side, side)}:
        logger.info("images of %d sizes are resized to %d × %d pixels", len(sizes), side, side)
