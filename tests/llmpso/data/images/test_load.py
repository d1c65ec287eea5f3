import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from llmpso.data.images.classes_and_parts import parse_groups
from llmpso.data.images.load import load_images
from llmpso.errors import DataError


def draw(folder: Path, n: int, *, mode: str = "RGB", size=(40, 30), suffix: str = "png") -> None:
    """Some images of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(folder.name))
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    for number in range(n):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{number}.{suffix}")


@pytest.fixture
def waste(tmp_path: Path) -> Path:
    draw(tmp_path / "waste" / "organic", 10)
    draw(tmp_path / "waste" / "recyclable", 15, suffix="jpg")
    return tmp_path / "waste"


def npz(path: Path, **arrays) -> Path:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    defaults = {"images": pixels, "labels": np.arange(20) % 2}
    kept = {name: array for name, array in (defaults | arrays).items() if array is not None}
    np.savez(path / "some.npz", **kept)
    return path / "some.npz"


def test_a_folder_with_one_folder_per_class(waste, caplog):
    with caplog.at_level(logging.INFO):
        images = load_images(waste)
    assert images.class_names == ("organic", "recyclable")
    assert images.shape == (32, 32, 3)
    assert [np.bincount(part.labels).tolist() for _, part in images.parts()] == [
        [6, 9],
        [2, 3],
        [2, 3],
    ]
    assert "resized to 32 × 32 pixels" in caplog.text
    assert load_images(waste).fingerprint == images.fingerprint


def test_no_image_is_in_two_parts(waste):
    parts = [part.pixels for _, part in load_images(waste).parts()]
    seen = {image.tobytes() for part in parts for image in part}
    assert len(seen) == 25


def test_a_model_that_serves_is_not_tested_on_what_it_was_trained_on_before_others_came(tmp_path):
    draw(tmp_path / "can", 100)
    draw(tmp_path / "glass", 60)
    trained_on = {image.tobytes() for image in load_images(tmp_path).train.pixels}
    draw(tmp_path / "can", 130)
    draw(tmp_path / "glass", 66)
    images = load_images(tmp_path)
    assert [np.bincount(part.labels).tolist() for _, part in images.parts()] == [
        [78, 40],
        [26, 13],
        [26, 13],
    ]
    assert not trained_on & {image.tobytes() for image in images.test.pixels}


def test_a_folder_that_is_split_already_keeps_its_test_part(tmp_path):
    for part, n in (("TRAIN", 10), ("TEST", 4)):
        for name in ("O", "R"):
            draw(tmp_path / part / name, n)
    images = load_images(tmp_path)
    assert images.class_names == ("O", "R")
    assert [len(part) for _, part in images.parts()] == [16, 4, 8]


def test_grey_images_stay_grey_and_mixed_ones_become_rgb(tmp_path, caplog):
    draw(tmp_path / "a", 6, mode="L")
    draw(tmp_path / "b", 6, mode="L")
    assert load_images(tmp_path).shape == (32, 32, 1)
    draw(tmp_path / "b", 3, mode="P")
    with caplog.at_level(logging.INFO):
        assert load_images(tmp_path).shape == (32, 32, 3)
    assert "several modes (9 L, 3 P); all become RGB" in caplog.text


def test_other_files_beside_the_images_do_no_harm(waste):
    (waste / "README.txt").write_text("photographs")
    (waste / "organic" / "Thumbs.db").write_text("")
    assert sum(len(part) for _, part in load_images(waste).parts()) == 25


def test_a_file_that_is_no_image_is_named(waste):
    whole = (waste / "recyclable" / "3.jpg").read_bytes()
    for content in (b"", b"no image", whole[:200]):
        (waste / "recyclable" / "3.jpg").write_bytes(content)
        with pytest.raises(DataError, match=r"image '.*recyclable/3.jpg' cannot be read \(.+\);"):
            load_images(waste)


def test_classes_that_are_too_small_or_alone_are_named(tmp_path):
    draw(tmp_path / "can", 9)
    with pytest.raises(DataError, match="has only the class 'can'"):
        load_images(tmp_path)
    draw(tmp_path / "jar", 1)
    with pytest.raises(DataError, match="class 'jar' has 1 image, 1 of them to train on; a cla"):
        load_images(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere", "images '.*nowhere' does not exist"),
        (lambda folder: folder, "holds no images in folders named after their classes"),
    ],
)
def test_a_folder_that_holds_nothing_is_refused(tmp_path, make, message):
    with pytest.raises(DataError, match=message):
        load_images(make(tmp_path))


def test_an_npz_file_with_names_and_a_split(tmp_path):
    split = np.array(["train"] * 14 + ["Test"] * 6)
    images = load_images(npz(tmp_path, class_names=np.array(["jar", "can"]), split=split))
    assert images.class_names == ("can", "jar")
    assert [len(part) for _, part in images.parts()] == [12, 2, 6]
    assert images.test.labels.tolist() == [1, 0] * 3


def test_an_npz_file_of_grey_images_with_labels_of_text(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 9, 8), dtype=np.uint8)
    images = load_images(npz(tmp_path, images=pixels, labels=np.array(["a", "b"] * 10)))
    assert images.shape == (9, 8, 1)
    assert images.class_names == ("a", "b")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": None}, "has no array 'labels'; it has"),
        ({"images": np.zeros((20, 8, 8, 3))}, "are float64 of shape .*; they must be uint8"),
        ({"images": np.zeros((20, 8, 8, 4), np.uint8)}, r"of shape \(20, 8, 8, 4\); they must"),
        ({"labels": np.arange(3)}, "labels of .* has 3 entries for 20 images"),
        ({"class_names": np.array(["a"])}, "go from 0 to 1, but class_names has 1 entry"),
        ({"split": np.array(["later"] * 20)}, "split of .* holds 'later'; it must hold train"),
        ({"split": np.array(["train"] * 20)}, "train and test are needed"),
    ],
)
def test_an_npz_file_that_does_not_fit_is_refused(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        load_images(npz(tmp_path, **arrays))


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK no archive")
    with pytest.raises(DataError, match="cannot be read as npz"):
        load_images(tmp_path / "a.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match="cannot be read as npz"):
        load_images(tmp_path / "one.npy")


def test_groups_are_read_as_written():
    text = "fibre=paper+cardboard, rest=glass+metal"
    assert parse_groups(text) == {"fibre": ("paper", "cardboard"), "rest": ("glass", "metal")}
    assert parse_groups("paper,glass") == {"paper": ("paper",), "glass": ("glass",)}


@pytest.mark.parametrize("text", ["", "=a", "a=b+", "a=b,a=c"])
def test_groups_that_do_not_read_so_are_refused(text):
    with pytest.raises(DataError, match="it must read like fibre=paper"):
        parse_groups(text)


def test_a_class_in_two_groups_or_unknown_is_refused(waste):
    with pytest.raises(DataError, match="it names 'b' more than once"):
        parse_groups("a=b+c,d=b")
    with pytest.raises(DataError, match="classes names 'organik'; did you mean 'organic'"):
        load_images(waste, groups=parse_groups("organik,recyclable"))


def test_fibre_against_the_rest_on_trashnet(shared_data, caplog):
    path = shared_data / "trashnet" / "trashnet32_tiny240.npz"
    groups = parse_groups("fibre=paper+cardboard,rest=glass+metal+plastic")
    with caplog.at_level(logging.INFO):
        images = load_images(path, groups=groups)
    assert images.class_names == ("fibre", "rest")
    assert sum(len(part) for _, part in images.parts()) == 200
    assert "40 images of trash are left out" in caplog.text
    assert "fibre is paper + cardboard" in images.description
    stored = np.load(path)
    in_test = (stored["split"] == "test") & np.isin(stored["labels"], [0, 3])
    assert np.bincount(images.test.labels)[0] == in_test.sum()
