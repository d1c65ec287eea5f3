"""Images of every mode are read as they look; what cannot be read is named in one line."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from llmpso.data.images.decoding import decode
from llmpso.data.images.load import load_images
from llmpso.errors import DataError

SIDE = 32


def stripes(across: bool, top: int, rng: np.random.Generator) -> np.ndarray:
    """Noise below bright stripes, up to a value."""
    bright = np.arange(SIDE) // 4 % 2 * (top // 2)
    noise = rng.integers(0, top // 4, (SIDE, SIDE))
    return noise + (bright[:, None] if across else bright[None, :])


def fill(folder: Path, dtype, top: int, suffix: str = "png", *, n: int = 10, frame=False) -> None:
    rng = np.random.default_rng(0)
    for label in ("cols", "rows"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(n):
            values = stripes(label == "rows", top, rng).astype(dtype)
            if frame:
                values[:2] = 0
            Image.fromarray(values).save(folder / label / f"{number}.{suffix}")


@pytest.mark.parametrize("frame", [False, True])
@pytest.mark.parametrize(
    ("dtype", "top", "suffix"),
    [
        (np.uint16, 40_000, "png"),
        (np.uint16, 4_000, "tif"),  # twelve bits in sixteen
        (np.int32, 900_000, "tif"),
        (np.float32, 500, "tif"),
    ],
)
def test_deep_images_preserve_their_levels(tmp_path, dtype, top, suffix, frame):
    fill(tmp_path, dtype, top, suffix, frame=frame)
    images = load_images(tmp_path)
    assert images.shape == (SIDE, SIDE, 1)
    assert len(np.unique(images.train.pixels)) > 100
    assert images.train.pixels.min() == 0
    assert images.train.pixels.max() == 255
    assert any("20 images are deeper than 8 bits" in note for note in images.notes)


def test_deep_images_are_on_one_scale(tmp_path):
    fill(tmp_path, np.uint16, 40_000)
    dark = Image.fromarray(np.full((SIDE, SIDE), 10_000, np.uint16))
    for label in ("cols", "rows"):
        dark.save(tmp_path / label / "dark.png")
    images = load_images(tmp_path)
    found = [image for _, part in images.parts() for image in part.pixels if np.ptp(image) == 0]
    assert len(found) == 2
    assert 75 <= found[0].max() <= 95  # a quarter to a third of the range, in both classes
    assert (found[0] == found[1]).all()


def test_a_few_hot_pixels_do_not_darken_the_rest(tmp_path):
    fill(tmp_path, np.uint16, 4_000)
    hot = np.full((SIDE, SIDE), 1_000, np.uint16)
    hot[3, 3] = 65_535
    Image.fromarray(hot).save(tmp_path / "cols" / "hot.png")
    assert len(np.unique(load_images(tmp_path).train.pixels)) > 100


def saved(path: Path, image: Image.Image, **options) -> np.ndarray:
    image.save(path, **options)
    return np.asarray(decode(path, 8).values)


def test_transparent_parts_are_on_white(tmp_path):
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 8, 4))
    values = saved(tmp_path / "a.png", clear)
    assert values[0, 0].tolist() == [0, 0, 255]
    assert values[7, 0].tolist() == [255, 255, 255]
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([9, 9, 9, 0, 200, 0])
    assert saved(tmp_path / "b.png", palette)[0, 0].tolist() == [0, 200, 0]
    assert saved(tmp_path / "c.png", palette, transparency=1)[0, 0].tolist() == [255] * 3


def test_colours_survive_their_modes(tmp_path):
    red = Image.new("RGB", (8, 8), (250, 10, 10))
    modes = {"CMYK": "a.tif", "YCbCr": "b.jpg", "RGB": "c.webp", "RGBA": "d.png"}
    for mode, name in modes.items():
        first = saved(tmp_path / name, red.convert(mode))[0, 0].astype(int)
        assert np.abs(first - [250, 10, 10]).max() <= 12, mode


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (6, (0, 7)), (3, (7, 7))])
def test_images_stand_upright(tmp_path, orientation, corner):
    image = Image.new("RGB", (8, 8), "black")
    image.paste("white", (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = saved(tmp_path / "a.jpg", image, exif=exif, quality=95)
    assert values[corner].min() > 200
    assert values.mean() == pytest.approx(64, abs=8)


def test_of_several_frames_the_first_is_taken(tmp_path):
    frames = [Image.new("L", (SIDE, SIDE), shade) for shade in (200, 50, 10)]
    fill(tmp_path, np.uint8, 255, n=9)
    for label in ("cols", "rows"):
        frames[0].save(tmp_path / label / "f.gif", save_all=True, append_images=frames[1:])
        frames[0].save(tmp_path / label / "f.tif", save_all=True, append_images=frames[1:])
    images = load_images(tmp_path)
    flat = [int(i.max()) for _, part in images.parts() for i in part.pixels if np.ptp(i) == 0]
    assert flat == [200] * 4
    assert "4 images have several frames or pages: the first is taken" in images.notes


def claimed(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(claimed(60_000, 60_000), id="a bomb"),
        pytest.param(claimed(12_000, 12_000), id="a small bomb"),
        pytest.param(claimed(0, 8), id="no width"),
        pytest.param(claimed(8, 8)[:-30], id="cut off"),
        pytest.param(claimed(8, 8).replace(b"IDAT", b"XXXX"), id="no pixels"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xd8\xff\xe0", id="a start only"),
        pytest.param(b"<svg/>", id="another kind"),
        pytest.param(b"II*\0" + b"\xff" * 60, id="a broken tif"),
        pytest.param(b"GIF89a" + b"\0" * 7, id="a broken gif"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_read_is_named_in_one_line(tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    refused = r"'.*bad.png' cannot be read \(.+\); replace or remove it"
    with pytest.raises(DataError, match=refused) as caught:
        decode(tmp_path / "bad.png", 8)
    assert "\n" not in str(caught.value)


def test_values_that_are_no_numbers_are_refused(tmp_path):
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(DataError, match="it holds values that are no numbers"):
        decode(tmp_path / "nan.tif", 8)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2)])
def test_tiny_and_narrow_images_are_resized(tmp_path, size):
    Image.new("L", size, 7).save(tmp_path / "a.png")
    assert np.asarray(decode(tmp_path / "a.png", 8).values).shape == (8, 8, 3)
