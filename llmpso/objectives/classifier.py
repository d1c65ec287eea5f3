"""A trained network that names what raw images show, with all it needs to do so."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
import torch

from llmpso.data.images.image_set import Pixels
from llmpso.errors import DataError
from llmpso.objectives.cnn_network import CNNArchitecture, CNNetwork, classify
from llmpso.objectives.network_files import DESCRIPTION, damage_named, load_network, save_network


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network that takes pixels as they are in a file."""

    loader_module: ClassVar[str] = __name__

    network: CNNetwork
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    """Height, width and channels of the images that it was trained on."""

    def predict(self, inputs: Pixels) -> pd.DataFrame:
        """Probability of each class; `.idxmax(axis=1)` names the likeliest.

        Args:
            inputs: uint8, shape (n_images, height, width, channels); a grey image may leave out
                its channel.

        Returns:
            One row per image and one column per class.

        Raises:
            DataError: The images are of another size, mode or type.
        """
        pixels = np.asarray(inputs)
        if self.shape[-1] == 1 and pixels.ndim == 3:
            pixels = pixels[..., None]
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self.shape:
            raise DataError(
                f"the images are {pixels.dtype} of shape {pixels.shape}; this model needs uint8 "
                f"of shape (n, {', '.join(map(str, self.shape))})"
            )
        self.network.eval()
        with torch.inference_mode():
            logits = classify(self.network, torch.from_numpy(np.ascontiguousarray(pixels)))
        return pd.DataFrame(logits.softmax(dim=1).numpy(), columns=list(self.class_names))

    @property
    def example(self) -> Pixels:
        """One image of even grey."""
        return np.full((1, *self.shape), 128, dtype=np.uint8)

    def save(self, directory: Path) -> None:
        """Write `weights.pt` and `model.json` into an existing directory."""
        content = {
            "class_names": self.class_names,
            "shape": self.shape,
            "architecture": asdict(self.network.architecture),
        }
        save_network(directory, self.network, content)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read back what `save` wrote; predictions are the same to the last bit.

        Raises:
            DataError: The directory holds no such model, or a damaged one.
        """
        content, weights = load_network(directory, "classifier")
        with damage_named(directory / DESCRIPTION, "classifier"):
            network = CNNetwork(CNNArchitecture(**content["architecture"]))
            network.load_state_dict(weights)
            height, width, channels = content["shape"]
            return cls(network, tuple(content["class_names"]), (height, width, channels))


def _load_pyfunc(path: str) -> Classifier:
    """What MLflow calls to read the model back."""
    return Classifier.load(Path(path))
