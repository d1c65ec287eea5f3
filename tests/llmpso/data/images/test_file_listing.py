"""Which files of a folder are images, of which class and part; what is left out is said."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from llmpso.data.images.image_set import ImageSet
from llmpso.data.images.load import load_images
from llmpso.errors import DataError


@pytest.fixture
def draw(tmp_path):
    """Puts images of noise into a folder."""
    rng = np.random.default_rng(0)

    def drawn(folder: str, n: int = 10, suffix: str = "png") -> Path:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for number in range(n):
            image = Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8))
            image.save(tmp_path / folder / f"{number}.{suffix}")
        return tmp_path / folder

    return drawn


def sizes(images: ImageSet) -> list[int]:
    return [len(part) for _, part in images.parts()]


@pytest.mark.parametrize("name", ["val", "Valid", "validation", "dev", "eval"])
def test_train_and_val_are_a_split_whose_test_is_drawn(draw, tmp_path, name):
    for part, n in (("train", 20), (name, 5)):
        for label in ("a", "b"):
            draw(f"{part}/{label}", n)
    images = load_images(tmp_path)
    assert images.class_names == ("a", "b")
    assert sizes(images) == [32, 10, 8]
    assert any("there is no test part: a fifth" in note for note in images.notes)


def test_all_three_parts_are_taken_as_they_are(draw, tmp_path):
    for part, n in (("train", 6), ("val", 2), ("test", 3)):
        for label in ("a", "b"):
            draw(f"{part}/{label}", n)
    images = load_images(tmp_path)
    assert sizes(images) == [12, 4, 6]
    assert images.notes == ()


def test_what_is_beside_the_parts_is_left_out_and_named(draw, tmp_path):
    for part in ("train", "test"):
        for label in ("a", "b"):
            draw(f"{part}/{label}")
    draw("previews/x")
    draw(".ipynb_checkpoints/x")
    images = load_images(tmp_path)
    assert images.class_names == ("a", "b")
    assert "folders beside the parts are left out: previews" in images.notes
    assert "hidden files and folders are left out: .ipynb_checkpoints" in images.notes


def test_a_test_part_without_classes_is_left_out(draw, tmp_path):
    for label in ("a", "b"):
        draw(f"train/{label}")
    draw("test")
    images = load_images(tmp_path)
    assert sizes(images) == [12, 4, 4]
    assert "folders beside the parts are left out: test" in images.notes


def test_a_class_may_be_called_train(draw, tmp_path):
    for label in ("train", "car", "plane"):
        draw(label)
    assert load_images(tmp_path).class_names == ("car", "plane", "train")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train/a", "train/b"], "holds 'train' with folders in it, which is a part of a split"),
        (["train/a", "other/b"], "holds 'train' with folders in it, which is a part of a split"),
        (["val/a", "test/b"], "holds 'test' with folders in it, which is a part of a split"),
        (["train", "test"], "holds test and train without folders of classes in them"),
        (["waste/a", "waste/b"], "holds only the folder 'waste'; if that holds the classes, name"),
        (["a/train", "a/test", "b/train", "b/test"], r"within its classes \(a/test, a/train\)"),
        (["train/a", "train/b", "test/a", "test/B"], "class 'B' has no image to train on"),
        ([".git/a", "__MACOSX/b"], "holds no images in folders named after their classes"),
    ],
)
def test_a_layout_that_is_no_set_of_classes_is_refused(draw, tmp_path, folders, message):
    for folder in folders:
        draw(folder)
    with pytest.raises(DataError, match=message):
        load_images(tmp_path)


def test_hidden_files_are_left_out_and_counted(draw, tmp_path):
    for label in ("a", "b"):
        draw(label)
    shutil.copytree(tmp_path / "a", tmp_path / "a" / ".ipynb_checkpoints")
    shutil.copytree(tmp_path / "a", tmp_path / "__MACOSX")
    (tmp_path / "b" / "._0.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "b" / ".DS_Store").write_bytes(b"")
    (tmp_path / "b" / "Thumbs.db").write_bytes(b"")
    images = load_images(tmp_path)
    assert images.class_names == ("a", "b")
    assert sizes(images) == [12, 4, 4]
    (note,) = images.notes
    assert ".ipynb_checkpoints (10)" in note
    assert {"__MACOSX", "._0.png", ".DS_Store", "Thumbs.db"} <= set(note.replace(",", "").split())


def test_files_of_other_endings_and_in_no_class_are_counted(draw, tmp_path):
    for label in ("a", "b", "c"):
        draw(label)
    draw("loose", 3)
    for file in (tmp_path / "loose").iterdir():
        file.rename(tmp_path / file.name)
    os.mkfifo(tmp_path / "c" / "pipe.png")
    for name in ("1.heic", "2.HEIC", "notes.txt", "Makefile"):
        (tmp_path / "c" / name).write_bytes(b"")
    images = load_images(tmp_path)
    assert "folder 'loose' holds no image and is no class" in images.notes
    assert any(
        "5 files are left out that are no images by their endings: .heic (2)" in note
        for note in images.notes
    )
    assert any("3 images of" in note and "are in no class" in note for note in images.notes)


def test_classes_that_differ_in_capital_letters_are_named(draw, tmp_path):
    for label in ("can", "Can", "jar"):
        draw(label)
    assert any("'Can', 'can'" in note for note in load_images(tmp_path).notes)


def test_images_that_two_parts_share_are_counted(draw, tmp_path):
    for part in ("train", "val", "test"):
        for label in ("a", "b"):
            draw(f"{part}/{label}")
    for number in range(3):
        shutil.copy(tmp_path / f"train/a/{number}.png", tmp_path / f"test/a/copy{number}.png")
    shutil.copy(tmp_path / "train/b/0.png", tmp_path / "train/a/wrong.png")
    notes = load_images(tmp_path).notes
    assert any("3 images of the test part are among the training images too" in n for n in notes)
    assert any("1 image occurs in several classes" in note for note in notes)


def test_links_to_folders_and_files_are_followed(draw, tmp_path):
    store = draw("store/a")
    (tmp_path / "links" / "b").mkdir(parents=True)
    (tmp_path / "links" / "a").symlink_to(store)
    for number in range(10):
        file = draw("store/b") / f"{number}.png"
        (tmp_path / "links" / "b" / file.name).symlink_to(file)
    assert sizes(load_images(tmp_path / "links")) == [12, 4, 4]
    (tmp_path / "links" / "b" / "gone.png").symlink_to("/nowhere.png")
    with pytest.raises(DataError, match=r"gone.png' cannot be read"):
        load_images(tmp_path / "links")


def test_two_folders_of_one_part_are_taken_together_and_named(draw, tmp_path):
    for part in ("train", "val", "valid"):
        draw(f"{part}/a")
        draw(f"{part}/b")
    images = load_images(tmp_path)
    assert sizes(images) == [16, 40, 4]
    assert any("val and valid are taken together as the valid" in note for note in images.notes)


def test_folders_that_each_class_holds_are_named(draw, tmp_path):
    for folder in ("fold1", "fold2"):
        for label in ("a", "b"):
            draw(f"{folder}/{label}")
    (note,) = load_images(tmp_path).notes
    assert note == (
        "the classes are fold1, fold2; the folders in each of them (a, b) are not distinguished"
    )
    draw("fold3/c")
    assert load_images(tmp_path).notes == ()
