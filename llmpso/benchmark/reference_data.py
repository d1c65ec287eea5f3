"""The data sets of the reference studies, which a new study may begin from.

None of them is a data set that a flow tunes by default: what ships must not know the answers to
the examples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from llmpso.data.images.classes_and_parts import Groups
from llmpso.data.images.image_set import ImageSet, LabelledImages
from llmpso.data.images.load import load_images
from llmpso.data.images.textures import load_textures
from llmpso.data.series.air_quality import load_taiwan
from llmpso.data.series.load_csv import load_csv
from llmpso.data.series.time_series import TimeSeries, span
from llmpso.objectives.base import DescribedObjective
from llmpso.objectives.cnn import CNNObjective
from llmpso.objectives.lstm import LSTMObjective

BEIJING_ROWS = 2_500
"""Hours of each year, from its first: more cost much, and tune the same network."""

FIBRE = {"fibre": ("paper", "cardboard"), "other": ("glass", "metal", "plastic")}
"""Two groups of the classes of TrashNet."""


@dataclass(frozen=True, slots=True)
class ReferenceData:
    """A data set, and the network that is tuned on it."""

    name: str
    family: str
    """Data sets of one family are alike: none of it is a fair test of the others."""
    network: str
    """`lstm` or `cnn`."""
    objective: Callable[[], DescribedObjective]
    """Reads the data."""


def reference_data(files: Mapping[str, Path]) -> list[ReferenceData]:
    """The data sets, without those whose file is not given.

    Args:
        files: By family: the CSV of `beijing`, that of `india`, the npz of `trashnet`.
    """
    found = [*_taiwan(), *_synthetic(), *_digits(), *_textures()]
    by_family = {"beijing": _beijing, "india": _india, "trashnet": _trashnet}
    for family, path in files.items():
        found += by_family[family](path)
    return found


def _forecast(
    family: str, name: str, load: Callable[[], TimeSeries], horizon: int
) -> ReferenceData:
    def objective() -> DescribedObjective:
        return LSTMObjective(replace(load(), name=name), horizon=horizon)

    return ReferenceData(f"{family}-{name}", family, "lstm", objective)


def _images(family: str, name: str, load: Callable[[], ImageSet]) -> ReferenceData:
    return ReferenceData(f"{family}-{name}", family, "cnn", lambda: CNNObjective(load()))


def _taiwan() -> list[ReferenceData]:
    february, march = slice("2021-02-01", "2021-02-28"), slice("2021-03-01", "2021-03-31")
    return [
        _forecast("taiwan", "o3-february", partial(_taiwan_column, "O3", february), 3),
        _forecast("taiwan", "nox-march", partial(_taiwan_column, "NOx", march), 3),
        _forecast("taiwan", "pm10-march", partial(_taiwan_column, "PM10", march), 6),
    ]


def _taiwan_column(target: str, rows: slice) -> TimeSeries:
    series = load_taiwan()
    frame = series.frame.loc[rows].drop(columns="AQI")
    features = tuple(name for name in series.features if name != target)
    return replace(
        series,
        frame=frame,
        target=target,
        features=features,
        description=f"hourly {target} at one station in Taiwan, {span(frame)}",
        unit=target,
    )


def _beijing(path: Path) -> list[ReferenceData]:
    return [
        _forecast("beijing", str(year), partial(_beijing_year, path, year), 6)
        for year in (2010, 2012, 2014)
    ]


def _beijing_year(path: Path, year: int) -> TimeSeries:
    series = load_csv(path, "pm2.5", where={"year": str(year)}, max_missing=0.2)
    return replace(series, frame=series.frame.iloc[:BEIJING_ROWS])


def _india(path: Path) -> list[ReferenceData]:
    return [
        _forecast("india", city.lower(), partial(_city, path, city), 1)
        for city in ("Delhi", "Bengaluru", "Hyderabad")
    ]


def _city(path: Path, city: str) -> TimeSeries:
    return load_csv(path, "AQI", where={"City": city}, max_missing=0.5)


def _synthetic() -> list[ReferenceData]:
    return [
        _forecast("synthetic", "seasons", partial(_seasons, noise=0.3), 6),
        _forecast("synthetic", "noisy-seasons", partial(_seasons, noise=1.5), 6),
    ]


def _seasons(noise: float) -> TimeSeries:
    """A day and a week that change in strength, and autocorrelated noise of a given deviation."""
    rng, hours = np.random.default_rng(0), np.arange(1_500)
    day, week = np.sin(2 * np.pi * hours / 24), np.sin(2 * np.pi * hours / 168)
    shocks = pd.Series(rng.normal(0, noise, len(hours)))
    value = day * (1 + 0.5 * week) + week + shocks.ewm(alpha=0.3).mean()
    times = pd.date_range("2021-01-04", periods=len(hours), freq="h")
    return TimeSeries(
        frame=pd.DataFrame({"load": value.to_numpy()}, index=times),
        target="load",
        features=(),
        name="seasons",
        description="a synthetic load with a day, a week and autocorrelated noise",
        source="made by llmpso.benchmark.reference_data",
        unit="units",
    )


def _trashnet(path: Path) -> list[ReferenceData]:
    return [
        _images("trashnet", "six", partial(_smaller, path)),
        _images("trashnet", "fibre", partial(_smaller, path, FIBRE)),
    ]


def _smaller(path: Path, groups: Groups | None = None) -> ImageSet:
    """Photographs of half their size, which cost a quarter."""
    found = load_images(path, groups=groups)
    train, validation, test = (
        LabelledImages(part.pixels[:, ::2, ::2], part.labels) for _, part in found.parts()
    )
    return replace(found, train=train, validation=validation, test=test)


def _digits() -> list[ReferenceData]:
    return [_images("digits", "all", _load_digits)]


def _load_digits() -> ImageSet:
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = (found.images * 15).astype(np.uint8)[..., None]
    parts = np.split(np.random.default_rng(0).permutation(len(pixels)), [1_078, 1_437])
    train, validation, test = (LabelledImages(pixels[some], found.target[some]) for some in parts)
    return ImageSet(
        train=train,
        validation=validation,
        test=test,
        class_names=tuple("0123456789"),
        name="digits",
        description=f"{len(pixels):,} handwritten digits, split at random",
        source="scikit-learn, load_digits (UCI, CC BY 4.0)",
    )


def _textures() -> list[ReferenceData]:
    return [_images("textures", "inverted-pair", _inverted_pair)]


def _inverted_pair() -> ImageSet:
    """Grass and gravel only, as negatives, every second pixel: another task than the example's."""
    found = load_textures()
    train, validation, test = (_halved(part) for _, part in found.parts())
    return replace(
        found, train=train, validation=validation, test=test, class_names=found.class_names[1:]
    )


def _halved(part: LabelledImages) -> LabelledImages:
    kept = part.labels > 0
    return LabelledImages(255 - part.pixels[kept][:, ::2, ::2], part.labels[kept] - 1)
