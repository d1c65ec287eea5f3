"""The images of a folder: which files they are, of which class, and of which part of a split."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmpso.data.images.classes_and_parts import SPLITS
from llmpso.errors import DataError
from llmpso.text import plural

SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"),
        *(".pgm", ".ppm", ".pbm", ".pnm", ".jp2", ".avif"),
    )
)

JUNK = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "@eadir"})
"""Files and folders that operating systems add, besides names that begin with a dot."""

MOST_NAMED = 5


@dataclass(frozen=True)
class Listed:
    """One image."""

    part: str
    """One of the values of `SPLITS`; empty if none is given."""
    label: str
    file: Path


def list_images(path: Path, notes: list[str]) -> list[Listed]:
    """Every image in a folder of classes, or of parts that hold classes, in a fixed order.

    Args:
        path: The folder.
        notes: Gets a line for what is left out.

    Raises:
        DataError: It holds no images in folders, or parts of a split where classes should be.
    """
    left_out = _LeftOut()
    found: list[Listed] = []
    for folder, part in _class_folders(path, left_out, notes):
        files = [Listed(part, folder.name, file) for file in left_out.images(folder)]
        if not files:
            notes.append(f"folder {folder.name!r} holds no image and is no class")
        found += files
    _check_parts_within(path, found)
    notes += left_out.notes(path.name)
    if not found:
        raise DataError(
            f"folder {str(path)!r} holds no images in folders named after their classes "
            f"(class/…jpg); known are {', '.join(sorted(SUFFIXES))}"
        )
    _note_similar(found, notes)
    _note_nested(path, found, notes)
    return found


class _LeftOut:
    """Walks through folders, and counts what it leaves out."""

    def __init__(self) -> None:
        self._hidden: Counter[str] = Counter()
        self._others: Counter[str] = Counter()
        self._n_loose = 0

    def visible_folders(self, root: Path) -> list[Path]:
        """The folders in another that are not hidden."""
        entries = sorted(root.iterdir())
        self._hidden.update(entry.name for entry in entries if is_hidden(entry.name))
        seen = [entry for entry in entries if not is_hidden(entry.name)]
        self._n_loose += sum(e.suffix.lower() in SUFFIXES for e in seen if not e.is_dir())
        return [entry for entry in seen if entry.is_dir()]

    def images(self, folder: Path) -> Iterator[Path]:
        """The images at any depth in a folder."""
        for file in sorted(folder.rglob("*")):
            hidden = next((n for n in file.relative_to(folder).parts if is_hidden(n)), None)
            if hidden is not None:
                self._hidden[hidden] += not file.is_dir()
            elif file.suffix.lower() in SUFFIXES and (file.is_file() or file.is_symlink()):
                yield file  # a pipe would be waited for; a broken link is an error further on
            elif not file.is_dir():
                self._others[file.suffix.lower() or "none"] += 1

    def notes(self, name: str) -> Iterator[str]:
        """What was left out."""
        if self._hidden:
            yield f"hidden files and folders are left out: {_named(self._hidden)}"
        if self._others:
            n, kinds = sum(self._others.values()), _named(self._others)
            one = "file is left out that is no image by its ending"
            several = "files are left out that are no images by their endings"
            yield f"{plural(n, one, several)}: {kinds}"
        if self._n_loose:
            one, several = f"image of {name!r} is", f"images of {name!r} are"
            why = "it is in no class" if self._n_loose == 1 else "they are in no class"
            yield f"{plural(self._n_loose, one, several)} left out because {why}"


def is_hidden(name: str) -> bool:
    """Whether a name is that of a hidden file or folder, made by a tool."""
    return name.startswith(".") or name.lower() in JUNK


def _class_folders(path: Path, left_out: _LeftOut, notes: list[str]) -> list[tuple[Path, str]]:
    """The folders that are classes, each with its part; empty where there is no split."""
    folders = left_out.visible_folders(path)
    named = {folder: SPLITS[folder.name.lower()] for folder in folders if _is_part(folder)}
    labelled = {folder: part for folder, part in named.items() if _holds_folders(folder)}
    if not labelled:
        _check_classes(path, folders, named)
        return [(folder, "") for folder in folders]
    if "train" not in labelled.values() or len({*named.values()}) < 2:
        raise DataError(_half_split(path, next(iter(labelled))))
    if others := [folder.name for folder in folders if folder not in labelled]:
        notes.append(f"folders beside the parts are left out: {', '.join(others[:MOST_NAMED])}")
    for part in {*labelled.values()}:
        same = [folder.name for folder, of in labelled.items() if of == part]
        if len(same) > 1:
            notes.append(f"folders {' and '.join(same)} are taken together as the {part} part")
    is_split = len({*labelled.values()}) > 1
    return [
        (folder, part if is_split else "")
        for root, part in labelled.items()
        for folder in left_out.visible_folders(root)
    ]


def _half_split(path: Path, folder: Path) -> str:
    return (
        f"folder {str(path)!r} holds {folder.name!r} with folders in it, which is a part of a "
        "split and no class; a split has train and val, or train and test: add the other, or name "
        f"{str(folder)!r} itself with images"
    )


def _check_classes(path: Path, folders: list[Path], named: dict[Path, str]) -> None:
    """Refuse parts without classes, and a folder that only wraps another."""
    if len(folders) > 1 and len(named) == len(folders):
        raise DataError(
            f"folder {str(path)!r} holds {' and '.join(f.name for f in folders)} without folders "
            "of classes in them: put the images of each class into a folder of its own"
        )
    if len(folders) == 1 and _holds_folders(folders[0]):
        raise DataError(
            f"folder {str(path)!r} holds only the folder {folders[0].name!r}; if that holds the "
            f"classes, name it: {str(folders[0])!r}"
        )


def _is_part(folder: Path) -> bool:
    return folder.name.lower() in SPLITS


def _holds_folders(folder: Path) -> bool:
    return any(entry.is_dir() and not is_hidden(entry.name) for entry in folder.iterdir())


def _check_parts_within(path: Path, found: list[Listed]) -> None:
    """Refuse class/train/…jpg beside class/test/…jpg: all of them would become one."""
    for label, folder in sorted({(listed.label, listed.file.parent) for listed in found}):
        if not _is_part(folder) or folder.parent.name != label:
            continue
        parts = [p.name for p in sorted(folder.parent.iterdir()) if p.is_dir() and _is_part(p)]
        if len({SPLITS[name.lower()] for name in parts}) > 1:
            raise DataError(
                f"folder {str(path)!r} holds parts of a split within its classes "
                f"({label}/{parts[0]}, {label}/{parts[1]}); put the classes into the parts: "
                f"{parts[0]}/{label}"
            )


def _note_nested(path: Path, found: list[Listed], notes: list[str]) -> None:
    """Note it if each class holds the same folders: those may be the classes."""
    within: dict[str, set[str]] = {}
    for listed in found:
        parts = listed.file.relative_to(path).parts
        below = parts[parts.index(listed.label) + 1 : -1]
        within.setdefault(listed.label, set()).add(below[0] if below else "")
    first, *others = within.values()
    if others and len(first) > 1 and "" not in first and all(names == first for names in others):
        named = ", ".join(sorted(first)[:MOST_NAMED])
        notes.append(
            f"the classes are {', '.join(list(within)[:MOST_NAMED])}; the folders in each of them "
            f"({named}) are not distinguished"
        )


def _note_similar(found: list[Listed], notes: list[str]) -> None:
    """Note which classes differ only in upper and lower case."""
    labels = sorted({listed.label for listed in found})
    cases = Counter(label.lower() for label in labels)
    if twins := [label for label in labels if cases[label.lower()] > 1]:
        named = ", ".join(map(repr, twins[:MOST_NAMED]))
        notes.append(f"classes differ only in capital letters, and are taken as several: {named}")


def _named(counts: Counter[str]) -> str:
    parts = [f"{name} ({n:,})" if n > 1 else name for name, n in counts.most_common(MOST_NAMED)]
    return ", ".join(parts) + (", …" if len(counts) > MOST_NAMED else "")
