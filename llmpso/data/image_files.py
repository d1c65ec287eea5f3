"""Images of your own: a folder with one folder per class, or arrays in an npz file."""

import logging
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpso.data.images import ImageSet, LabelledImages, Labels, Pixels
from llmpso.data.table import near_names
from llmpso.data.windows import TEST_SHARE, VALIDATION_SHARE
from llmpso.errors import DataError

logger = logging.getLogger(__name__)

SIDE = 32
"""Pixels to which the images of a folder are brought, both ways."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})

GREY_MODES = frozenset({"1", "L"})

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""How the parts may be called, in any case of letters."""

MIN_PER_CLASS = 5
"""Images that a class needs if it is to be split into three parts."""

Groups = Mapping[str, tuple[str, ...]]
"""Classes that count as one, by the name of the group."""


@dataclass(frozen=True, eq=False)
class _Collection:
    """Images as they were found."""

    pixels: Pixels
    labels: NDArray[np.str_]
    """Name of each image's class, shape (n_images,)."""
    parts: NDArray[np.str_] | None
    """Part of each image, one of the values of `SPLITS`; None if none was given."""
    description: str


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
    collection = _read_folder(path, side) if path.is_dir() else _read_npz(path)
    if groups:
        collection = _grouped(collection, groups)
    class_names = tuple(np.unique(collection.labels).tolist())
    labels = np.searchsorted(np.array(class_names), collection.labels).astype(np.int64)
    parts = _parts(collection, labels, class_names)
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


def parse_groups(text: str) -> Groups:
    """Groups from text such as `fibre=paper+cardboard,rest=glass+metal+plastic`.

    A class alone stands for itself: `paper,glass`.

    Raises:
        DataError: The text does not read so, or names a class twice.
    """
    groups: dict[str, tuple[str, ...]] = {}
    for item in text.split(","):
        name, _, members = (part.strip() for part in item.partition("="))
        classes = tuple(member.strip() for member in (members or name).split("+"))
        if not name or not all(classes) or name in groups:
            raise DataError(
                f"classes is {text!r}; it must read like fibre=paper+cardboard,rest=glass+metal"
            )
        groups[name] = classes
    repeated = [c for c, n in Counter(c for g in groups.values() for c in g).items() if n > 1]
    if repeated:
        raise DataError(f"classes is {text!r}; it names {repeated[0]!r} more than once")
    return groups


def _grouped(collection: _Collection, groups: Groups) -> _Collection:
    known = np.unique(collection.labels).tolist()
    for member in (member for members in groups.values() for member in members):
        if member not in known:
            raise DataError(f"classes names {member!r}; {near_names(member, known)}")
    group_of = {member: name for name, members in groups.items() for member in members}
    kept = np.isin(collection.labels, list(group_of))
    if not kept.all():
        left_out = sorted(set(known) - set(group_of))
        logger.info("%d images of %s are left out", (~kept).sum(), ", ".join(left_out))
    told = "; ".join(f"{name} is {' + '.join(members)}" for name, members in groups.items())
    return _Collection(
        pixels=collection.pixels[kept],
        labels=np.array([group_of[label] for label in collection.labels[kept]]),
        parts=None if collection.parts is None else collection.parts[kept],
        description=f"{collection.description}, in which {told}",
    )


def _parts(
    collection: _Collection, labels: Labels, class_names: tuple[str, ...]
) -> NDArray[np.str_]:
    """The part of each image; what is not given is drawn, the same way each time."""
    parts = collection.parts
    if parts is None:
        parts = _drawn(np.full(len(labels), "train", "<U10"), labels, class_names, TEST_SHARE)
        parts = np.where(parts == "drawn", "test", parts)
        share = VALIDATION_SHARE / (1 - TEST_SHARE)
    elif "validation" in parts:
        return parts
    else:
        parts, share = parts.astype("<U10"), VALIDATION_SHARE
    parts = _drawn(parts, labels, class_names, share)
    return np.where(parts == "drawn", "validation", parts)


def _drawn(
    parts: NDArray[np.str_], labels: Labels, class_names: tuple[str, ...], share: float
) -> NDArray[np.str_]:
    """A share of each class's training images, marked as drawn."""
    rng, parts = np.random.default_rng(0), parts.copy()
    for index, name in enumerate(class_names):
        members = np.flatnonzero((labels == index) & (parts == "train"))
        if len(members) < MIN_PER_CLASS - 1:
            raise DataError(
                f"class {name!r} has {(labels == index).sum()} images, {len(members)} of them to "
                f"train on; a class needs {MIN_PER_CLASS} or more: add some, or leave it out with "
                "classes"
            )
        parts[rng.permutation(members)[: max(1, round(share * len(members)))]] = "drawn"
    return parts


def _read_npz(path: Path) -> _Collection:
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
    return _Collection(
        pixels=pixels,
        labels=_named(path, labels, arrays.get("class_names")),
        parts=_given_parts(path, arrays["split"]) if "split" in arrays else None,
        description=_described(path, pixels),
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


def _read_folder(path: Path, side: int) -> _Collection:
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
    return _Collection(
        pixels=pixels,
        labels=np.array([name for _, name, _ in files]),
        parts=np.array(given) if given else None,
        description=_described(path, pixels)
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


def _described(path: Path, pixels: Pixels) -> str:
    return f"{'grey' if pixels.shape[-1] == 1 else 'RGB'} images from {path.name}"
