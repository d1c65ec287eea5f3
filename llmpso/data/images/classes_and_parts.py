"""Grouping classes, and assigning each image to a part: training, validation or test."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmpso.data.column_names import near_names
from llmpso.data.images.image_set import Labels, Pixels
from llmpso.data.series.windows import TEST_SHARE, VALIDATION_SHARE
from llmpso.errors import DataError
from llmpso.text import plural

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "eval": "validation",
    "test": "test",
    "testing": "test",
}
"""How the parts may be called, in any case of letters."""

MIN_PER_CLASS = 5
"""Images that a class needs if it is to be split into three parts."""

Groups = Mapping[str, tuple[str, ...]]
"""Classes that count as one, by the name of the group."""


@dataclass(frozen=True, eq=False)
class Collection:
    """Images before they are split."""

    pixels: Pixels
    labels: NDArray[np.str_]
    """Name of each image's class, shape (n_images,)."""
    parts: NDArray[np.str_] | None
    """Part of each image, one of the values of `SPLITS`; None if none was given."""
    order: NDArray[np.int64]
    """Place of each image in an order of chance, by which parts are drawn."""
    description: str
    notes: tuple[str, ...] = ()
    """What was left out, decided or changed while reading, a sentence each."""


def parse_groups(text: str) -> Groups:
    """Groups from text such as `fibre=paper+cardboard,rest=glass+metal+plastic`.

    A single class is a group: `paper,glass`.

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


def grouped(collection: Collection, groups: Groups) -> Collection:
    """The images of some classes, several of which count as one; the log says what is left out.

    Raises:
        DataError: A class does not occur.
    """
    known = np.unique(collection.labels).tolist()
    for member in (member for members in groups.values() for member in members):
        if member not in known:
            raise DataError(f"classes names {member!r}; {near_names(member, known)}")
    group_of = {member: name for name, members in groups.items() for member in members}
    chosen = np.isin(collection.labels, list(group_of))
    notes = collection.notes
    if not chosen.all():
        left_out = ", ".join(sorted(set(known) - set(group_of)))
        one, several = f"image of {left_out} is", f"images of {left_out} are"
        notes += (f"{plural(int((~chosen).sum()), one, several)} left out",)
    grouping = "; ".join(f"{name} is {' + '.join(members)}" for name, members in groups.items())
    return replace(
        collection,
        pixels=collection.pixels[chosen],
        labels=np.array([group_of[label] for label in collection.labels[chosen]]),
        parts=None if collection.parts is None else collection.parts[chosen],
        order=collection.order[chosen],
        description=f"{collection.description}, in which {grouping}",
        notes=notes,
    )


def order_of(images: Iterable[NDArray[Any]]) -> NDArray[np.int64]:
    """An order of chance, by content: when others are added, all that are there keep theirs."""
    keys = [hashlib.sha256(image.tobytes()).digest() for image in images]
    order = np.empty(len(keys), np.int64)
    order[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return order


def parts_of(
    collection: Collection, labels: Labels, class_names: tuple[str, ...]
) -> NDArray[np.str_]:
    """The part of each image; what is not given is drawn, the same way each time.

    When images are added, hardly any that was trained on comes into the test part, on which the
    model that serves is compared with a new one.

    Args:
        collection: The images, with the parts that are given.
        labels: Their classes, as indices of the names.
        class_names: In order.

    Raises:
        DataError: A class has too few images to draw from.
    """
    given = set() if collection.parts is None else set(collection.parts.tolist())
    parts = np.full(len(labels), "train", "<U10")
    if collection.parts is not None:
        parts[:] = collection.parts
    share = VALIDATION_SHARE
    if "test" not in given:
        parts = _drawn(parts, labels, collection.order, class_names, TEST_SHARE, "test")
        share = VALIDATION_SHARE / (1 - TEST_SHARE)
    if "validation" not in given:
        parts = _drawn(parts, labels, collection.order, class_names, share, "validation")
    return parts


def _drawn(
    parts: NDArray[np.str_],
    labels: Labels,
    order: NDArray[np.int64],
    class_names: tuple[str, ...],
    share: float,
    name_of_part: str,
) -> NDArray[np.str_]:
    """The parts with a share of each class's training images, the first ones, in another one."""
    parts = parts.copy()
    for index, name in enumerate(class_names):
        members = np.flatnonzero((labels == index) & (parts == "train"))
        if not len(members):
            near = near_names(name, [other for other in class_names if other != name])
            raise DataError(
                f"class {name!r} has no image to train on ({near}); add some, or leave it out "
                "with classes"
            )
        if len(members) < MIN_PER_CLASS - 1:
            raise DataError(
                f"class {name!r} has {plural(int((labels == index).sum()), 'image')}, "
                f"{len(members)} of them to train on; a class needs {MIN_PER_CLASS} or more: add "
                "some, or leave it out with classes"
            )
        first = members[np.argsort(order[members])]
        parts[first[: max(1, round(share * len(members)))]] = name_of_part
    return parts


def described(path: Path, pixels: Pixels) -> str:
    """What images from a path are, for a prompt."""
    return f"{'grey' if pixels.shape[-1] == 1 else 'RGB'} images from {path.name}"
