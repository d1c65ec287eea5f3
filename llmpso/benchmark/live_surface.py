"""The sizes of a surface, trained in earnest, as networks of today are."""

from functools import lru_cache
from typing import Any

import numpy as np

from llmpso.benchmark.surfaces import (
    MEASURED,
    SEEDS,
    Cell,
    Surface,
    SurfaceObjective,
    find_surface,
    read_settings,
    train_cell,
)
from llmpso.data.images.textures import load_textures
from llmpso.data.series.load_csv import load_csv
from llmpso.errors import DataError, SpecError
from llmpso.objectives.cnn import CNNObjective
from llmpso.objectives.lstm import LSTMObjective
from llmpso.objectives.torch_threads import limit_threads
from llmpso.space import Params
from llmpso.trial import Evaluation

FIRST_SEED = 1_000
"""Of the live trainings: the surfaces have seeds from 0."""


class LiveSurface:
    """A surface's sizes, each trained when it is asked for; the mean of as many seeds.

    A size that comes again has the same value again, and is not trained again.

    Args:
        name: The surface.
        study_seed: Studies of different seeds train with different seeds.
        csv: The file `city_day.csv`, for `lstm`.

    Raises:
        SpecError: There is no such surface, or the file is missing.
        DataError: The data are not those of the surface that ships.
    """

    def __init__(self, name: str, study_seed: int, csv: str | None) -> None:
        looked_up = SurfaceObjective(name)
        self.name = f"live-{name}"
        self.metric, self.description = looked_up.metric, looked_up.description
        self.space = looked_up.space
        self._surface, self._network = find_surface(name), _same_network(name, csv)
        first = FIRST_SEED + len(SEEDS) * study_seed
        self._seeds = range(first, first + len(SEEDS))
        self._known: dict[tuple[Any, ...], Evaluation] = {}

    def evaluate(self, params: Params, *, fidelity: float = 1.0, seed: int = 0) -> Evaluation:
        """Train a size with each of the study's seeds; fidelity and seed change nothing."""
        key = self.space.key(params)
        if key not in self._known:
            self._known[key] = self._trained(params)
        return self._known[key]

    def _trained(self, params: Params) -> Evaluation:
        limit_threads(1)
        cells = [Cell(params["layers"], params[self._surface.width], s) for s in self._seeds]
        rows = [train_cell(self._surface, self._network, cell) for cell in cells]
        means = {name: float(np.mean([row[name] for row in rows])) for name in MEASURED}
        return Evaluation(means.pop("value"), means)


def surface_network(surface: Surface, csv: str | None) -> LSTMObjective | CNNObjective:
    """What a surface is trained with.

    Raises:
        LLMPSOError: The data cannot be used.
    """
    if surface.name == "cnn":
        if csv is not None:
            raise SpecError("csv is for lstm; the cnn learns the textures that ship")
        return CNNObjective(load_textures(), space=surface.space, **surface.options)
    if csv is None:
        raise SpecError("csv is missing; name the file city_day.csv (README, paper's scenarios)")
    series = load_csv(csv, "AQI", where={"City": "Delhi"}, unit="AQI points")
    return LSTMObjective(series, space=surface.space, **surface.options)


@lru_cache(maxsize=2)
def _same_network(name: str, csv: str | None) -> LSTMObjective | CNNObjective:
    """A network of today on the data of the surface that ships; built once per process."""
    surface = find_surface(name)
    network = surface_network(surface, csv if name == "lstm" else None)
    if network.describe_data().digest != read_settings(surface.file)["data"]:
        raise DataError(f"the data of {name!r} are not those that the surface was trained on")
    return network
