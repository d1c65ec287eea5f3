"""An objective without training time that has all that is recorded: parameters, curve, model."""

from collections.abc import Mapping
from typing import Any

import torch

from llmpso.space import Float, SearchSpace
from llmpso.trial import Evaluation

N_EPOCHS = 20


class Cheap:
    """A bowl whose evaluation takes microseconds: what a study of it takes is its machinery."""

    name = "cheap"
    metric = "height"
    description = "A bowl."
    space = SearchSpace({"x": Float(-5.0, 5.0), "y": Float(-5.0, 5.0)})

    def evaluate(self, params: Mapping[str, Any], *, fidelity: float, seed: int) -> Evaluation:
        """The height, a curve of 20 epochs, and a layer of 64 × 64 weights."""
        value = params["x"] ** 2 + params["y"] ** 2
        curve = tuple(value + 1 / epoch for epoch in range(1, N_EPOCHS + 1))
        return Evaluation(value, {"depth": 1.0}, {"loss": curve}, torch.nn.Linear(64, 64))
