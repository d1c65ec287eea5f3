"""An npz file is judged by what it claims to hold, before memory is taken for it."""

import io
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from llmpso.data.images.load import load_images
from llmpso.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)


def packed(path: Path, **members: bytes | np.ndarray) -> Path:
    """An npz file, members of which may be bytes that numpy would not write."""
    with zipfile.ZipFile(path / "some.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"images": PIXELS, "labels": np.arange(20) % 2, **members}.items():
            archive.writestr(
                f"{name}.npy", content if isinstance(content, bytes) else npy(content)
            )
    return path / "some.npz"


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def claiming(shape: tuple[int, ...], dtype: str = "|u1", content: bytes = b"\0" * 64) -> bytes:
    stream = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + content


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"images": claiming((10**6, 1000, 1000))}, r"claims the shape \(1000000, 1000, 1000\)"),
        (
            {"images": claiming((20, 8, 9), content=PIXELS.tobytes())},
            "1,440 bytes; the file has 1,280",
        ),
        ({"labels": claiming((10**12,), "<i8")}, "labels of .* claims the shape"),
        ({"images": claiming((20, 8, 8), "<f4")}, "are float32 of shape .*; they must be uint8"),
        (
            {"labels": np.array([{"a": 1}] * 20)},
            "labels of .* holds Python objects, which are not",
        ),
        ({"class_names": np.array(["a", None])}, "class_names of .* holds Python objects"),
        ({"labels": np.array([0.0, np.nan] * 10)}, "labels of .* hold nan, which is no class"),
        ({"labels": np.array([0.0, 0.5] * 10)}, "labels of .* hold 0.5, which is no class"),
        ({"labels": np.zeros((20, 2))}, r"labels of .* have shape \(20, 2\); they must be a list"),
        (
            {"labels": np.array([0, -1] * 10), "class_names": np.array(["a", "b"])},
            "go from -1 to 0",
        ),
        ({"images": np.zeros((20, 3, 8, 8), "u1")}, r"^images of .* are uint8 of shape \(20, 3,"),
        ({"images": np.zeros((0, 8, 8), "u1"), "labels": np.zeros(0)}, "holds no image"),
        ({"images": b"\x93NUMPY\1\0"}, "cannot be read as npz"),
        ({"images": b"no array"}, "cannot be read as npz"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, members, message):
    with pytest.raises(DataError, match=message) as caught:
        load_images(packed(tmp_path, **members))
    assert "\n" not in str(caught.value)


def test_a_claim_of_terabytes_takes_no_memory(tmp_path):
    path = packed(tmp_path, images=claiming((10**6, 1000, 1000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="1,000,000,000,000 bytes"):
        load_images(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_a_damaged_archive_is_refused(tmp_path):
    path = packed(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + bytes(50) + whole[250:])
    with pytest.raises(DataError, match="cannot be read as npz"):
        load_images(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read as npz"):
        load_images(path)


def test_what_is_not_used_is_not_read(tmp_path):
    path = packed(tmp_path, more=claiming((10**6, 1000, 1000)), objects=npy(np.array([{}])))
    assert load_images(path).class_names == ("0", "1")


def test_whole_numbers_as_floats_are_classes(tmp_path):
    path = packed(tmp_path, labels=(np.arange(20) % 2).astype(float))
    assert load_images(path).class_names == ("0", "1")


def test_train_and_validation_are_a_split_whose_test_is_drawn(tmp_path):
    path = packed(tmp_path, split=np.array(["train"] * 14 + ["val"] * 6))
    images = load_images(path)
    assert [len(part) for _, part in images.parts()] == [12, 6, 2]
    assert any("there is no test part" in note for note in images.notes)
