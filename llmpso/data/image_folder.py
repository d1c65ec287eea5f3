"""Images as files, in one folder per class."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from llmpso.data.image_collection import SPLITS, Collection, described
from llmpso.data.images import Pixels
from llmpso.errors import DataError

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})

GREY_MODES = frozenset({"1", "L"})


def read_folder(path: Path, side: int) -> Collection:
    """The images of a folder, resized to squares; RGB, unless all of them are grey.

    Raises:
        DataError: It holds no images in folders, or one that cannot be read.
    """
    files = list(_image_files(path))
    if not files:
        raise DataError(
            f"folder {str(path)!r} holds no images in folders named after their classes "
            f"(class/…jpg); known are {', '.join(sorted(SUFFIXES))}"
        )
    decode = _decoder(side)
    decoded = [decode(file) for _, _, file in files]
    modes, sizes = Counter(mode for _, mode, _ in decoded), {size for _, _, size in decoded}
    pixels = np.stack([image for image, _, _ in decoded])
    if set(modes) <= GREY_MODES:
        pixels = pixels[..., :1]
    _tell_changes(modes, sizes, side)
    given = [part for part, _, _ in files if part]
    return Collection(
        pixels=pixels,
        labels=np.array([name for _, name, _ in files]),
        parts=np.array(given) if given else None,
        description=described(path, pixels)
        + ("" if sizes == {(side, side)} else f", resized from {len(sizes)} different sizes"),
    )


def _image_files(path: Path) -> Iterator[tuple[str, str, Path]]:
    """Part (empty if none is given), class and file of every image, in a fixed order."""
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir())
    given = {folder: SPLITS.get(folder.name.lower(), "") for folder in folders}
    is_split = {"train", "test"} <= set(given.values()) and all(given.values())
    if not is_split:
        given = {path: ""}
    for root, part in given.items():
        for folder in sorted(entry for entry in root.iterdir() if entry.is_dir()):
            for file in sorted(folder.rglob("*")):
                if file.suffix.lower() in SUFFIXES:
                    yield part, folder.name, file


def _decoder(side: int) -> Callable[[Path], tuple[Pixels, str, tuple[int, int]]]:
    """Reads a file as an RGB square, with the mode and the size that it had."""
    # Here, because only a folder of images needs it.
    from PIL import Image, ImageOps

    def decode(file: Path) -> tuple[Pixels, str, tuple[int, int]]:
        try:
            with Image.open(file) as image:
                mode, size = image.mode, image.size
                # A JPEG decodes several times as fast at a fraction of its size.
                image.draft("RGB", (2 * side, 2 * side))
                upright = ImageOps.exif_transpose(image).convert("RGB")
                small = upright.resize((side, side), Image.Resampling.BOX, reducing_gap=3.0)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"image {str(file)!r} cannot be read ({reason}); mend or remove it"
            ) from error
        return np.asarray(small, dtype=np.uint8), mode, size

    return decode


def _tell_changes(modes: Counter[str], sizes: set[tuple[int, int]], side: int) -> None:
    """Say what was done to images that were not alike."""
    if len(modes) > 1:
        told = ", ".join(f"{count} {mode}" for mode, count in modes.most_common())
        logger.info("images are of several modes (%s); all become RGB", told)
    if sizes != {(side, side)}:
        logger.info("images of %d sizes are resized to %d × %d pixels", len(sizes), side, side)
