"""The networks that ship, with the data that ship or the user's own."""

from dataclasses import replace
from typing import Any

from llmpso.data.images.classes_and_parts import parse_groups
from llmpso.data.images.load import load_images
from llmpso.data.images.textures import load_textures
from llmpso.data.series.air_quality import load_taiwan
from llmpso.data.series.load_csv import load_csv
from llmpso.data.series.time_series import TimeSeries
from llmpso.data.tables.csv_table import CsvOptions
from llmpso.objectives import cnn, lstm
from llmpso.objectives.network import NetworkLimits
from llmpso.options import FILE_FORMAT, DataOptions


def lstm_objective(data: DataOptions) -> lstm.LSTMObjective:
    """The forecast of a series.

    Raises:
        DataError: The series cannot be used.
    """
    series = _series(data)
    if data.last is not None:
        series = replace(series, frame=series.frame.iloc[-data.last :])
    space = lstm.TUNABLES.named(data.space)
    return lstm.LSTMObjective(series, horizon=data.horizon, space=space, **_asked(data))


def cnn_objective(data: DataOptions) -> cnn.CNNObjective:
    """The classifier of images.

    Raises:
        DataError: The images cannot be used.
    """
    space = cnn.TUNABLES.named(data.space)
    if data.images is None:
        return cnn.CNNObjective(load_textures(), space=space, **_asked(data))
    groups = None if data.classes is None else parse_groups(data.classes)
    images = load_images(data.images, groups=groups)
    return cnn.CNNObjective(images, space=space, **_asked(data))


def _asked(data: DataOptions) -> dict[str, Any]:
    """What is asked of a network besides its error."""
    limits = NetworkLimits(data.max_parameters, data.max_latency_ms)
    return {"limits": limits, "goals": data.goals}


def _series(data: DataOptions) -> TimeSeries:
    if data.csv is None or data.target is None:
        return load_taiwan()
    conditions = dict(condition.split("=", 1) for condition in data.where)
    options = CsvOptions(**{name: getattr(data, name) for name in FILE_FORMAT})
    return load_csv(
        data.csv, data.target, where=conditions, max_missing=data.max_missing, options=options
    )
