import os
from pathlib import Path

import numpy as np
import pytest
import torch

from llmpso.data.images.image_set import ImageSet, LabelledImages
from llmpso.objectives.torch_threads import limit_threads

SHARED = Path(os.environ.get("LLMPSO_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data():
    """Folder of public data sets that are too large to ship."""
    if not SHARED.is_dir():
        pytest.skip(f"no folder {SHARED}; name it in LLMPSO_TEST_DATA")
    return SHARED


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    limit_threads(1)
    yield
    limit_threads(before)


def stripes(n: int, seed: int) -> LabelledImages:
    """Noise with stripes that lie or stand: alike to any linear model."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    waves = 128 + 100 * np.sin(np.arange(12) + rng.uniform(0, 2 * np.pi, (n, 1)))
    lying = np.repeat(waves[:, :, None], 12, axis=2)
    pixels = np.where(labels[:, None, None] == 0, lying, lying.swapaxes(1, 2))
    noisy = np.clip(pixels + rng.normal(0, 40, pixels.shape), 0, 255).astype(np.uint8)
    return LabelledImages(np.repeat(noisy[..., None], 3, axis=3), labels)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    parts = [stripes(n, seed) for seed, n in enumerate((160, 80, 60))]
    return ImageSet(*parts, ("lying", "standing"), "stripes", "noise with stripes", "a test")


@pytest.fixture
def other_test_images() -> LabelledImages:
    """As many as the set has for the test, but not the same."""
    return stripes(60, 9)


@pytest.fixture
def measured():
    """All that an evaluation says, weights included, to the last bit."""

    def measured(evaluation):
        weights = evaluation.model.network.state_dict()
        return (
            evaluation.value,
            dict(evaluation.metrics),
            dict(evaluation.curves),
            dict(evaluation.artifacts),
            {name: tensor.numpy().tobytes() for name, tensor in weights.items()},
        )

    return measured
