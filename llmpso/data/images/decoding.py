"""Reading image files as squares of the same kind: upright, without transparency, 8 bits deep."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmpso.data.images.image_set import Pixels
from llmpso.errors import DataError
from llmpso.text import plural

if TYPE_CHECKING:
    from PIL.Image import Image

GREY_MODES = frozenset({"1", "L", "LA"})

MAX_PIXELS = 100_000_000
"""Of one image; more take gigabytes to unpack, and a small file can claim them."""

DEEP_QUANTILES = (0.001, 0.999)
"""Share of the values of deep images that are clipped to black and white: a few hot pixels must
not set the scale."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """One image as a square."""

    values: NDArray[np.float32] | Pixels
    """Floats of shape (side, side) if it is deeper than 8 bits, else bytes (side, side, 3)."""
    mode: str
    size: tuple[int, int]
    is_grey: bool
    is_transparent: bool
    n_frames: int

    @property
    def is_deep(self) -> bool:
        """Whether it has more than 8 bits a pixel."""
        return self.values.ndim == 2


def decode(file: Path, side: int) -> Decoded:
    """Read one image and scale it to a square.

    Raises:
        DataError: It cannot be read.
    """
    # Here, because only a folder of images needs it.
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those that matter are errors below
            with Image.open(file) as image:
                return _decoded(image, side)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"image {str(file)!r} cannot be read ({reason}); replace or remove it"
        ) from error


def _decoded(image: "Image", side: int) -> Decoded:
    from PIL import ImageOps

    mode, size, n_frames = image.mode, image.size, getattr(image, "n_frames", 1)
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"it has {size[0]} × {size[1]} pixels, more than {MAX_PIXELS:,}")
    # A JPEG decodes several times as fast at a fraction of its size.
    image.draft("RGB", (2 * side, 2 * side))
    upright = ImageOps.exif_transpose(image)
    if mode.startswith(("I", "F")):
        return Decoded(_deep(upright, side), mode, size, True, False, n_frames)
    opaque = _on_white(upright)
    values = np.asarray(_square((opaque or upright).convert("RGB"), side), dtype=np.uint8)
    return Decoded(values, mode, size, mode in GREY_MODES, opaque is not None, n_frames)


def _deep(image: "Image", side: int) -> NDArray[np.float32]:
    from PIL import Image

    values = np.asarray(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are no numbers")
    return np.asarray(_square(Image.fromarray(values), side))


def _square(image: "Image", side: int) -> "Image":
    from PIL import Image

    return image.resize((side, side), Image.Resampling.BOX, reducing_gap=3.0)


def _on_white(image: "Image") -> "Image | None":
    """The image on white ground; None if nothing of it is transparent."""
    from PIL import Image

    if not image.has_transparency_data:
        return None
    whole = image.convert("RGBA")
    if np.asarray(whole.getchannel("A")).min() == 255:
        return None
    ground = Image.new("RGBA", whole.size, "white")
    return Image.alpha_composite(ground, whole)


def as_pixels(decoded: Sequence[Decoded], notes: list[str]) -> Pixels:
    """All images as bytes, deep ones on one scale, so that equal values stay equal.

    Args:
        decoded: The images.
        notes: Gets a line for the scale.
    """
    deep = [image.values for image in decoded if image.is_deep]
    low, high = np.quantile(np.stack(deep), DEEP_QUANTILES).tolist() if deep else (0.0, 1.0)
    factor = 255.0 / max(high - low, 1e-30)
    if deep:
        notes.append(
            f"{plural(len(deep), 'image is', 'images are')} deeper than 8 bits: values from "
            f"{low:g} to {high:g} become 0 to 255, as they must be for a forecast too"
        )
    return np.stack([_as_bytes(image, low, factor) for image in decoded])


def _as_bytes(image: Decoded, low: float, factor: float) -> Pixels:
    if not image.is_deep:
        return np.asarray(image.values, dtype=np.uint8)
    scaled = np.clip((image.values - low) * factor, 0, 255).round().astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=-1)
