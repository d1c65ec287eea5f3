"""A trained network with its preprocessing: from raw columns to the target's own unit."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd
import torch

from llmpso.data.series.input_encoder import InputEncoder
from llmpso.data.times.time_format import TimeFormat
from llmpso.errors import DataError
from llmpso.objectives.lstm_network import Architecture, LSTMNetwork, forecast
from llmpso.objectives.network_files import DESCRIPTION, damage_named, load_network, save_network
from llmpso.text import plural


@dataclass(frozen=True, eq=False)
class Forecaster:
    """A trained network that takes raw columns and answers in the target's unit."""

    loader_module: ClassVar[str] = __name__

    network: LSTMNetwork
    encoder: InputEncoder
    window: int
    horizon: int
    target_mean: float
    target_deviation: float
    unit: str
    times: TimeFormat | None
    """How times are written, which `predict` takes as columns; None if there are none."""
    step_seconds: float | None
    """Time between two rows; None if there is no time or it is uneven."""
    gap_seconds: float | None
    """Longest time without a value of the target that it was trained on; None without times."""

    def predict(self, inputs: pd.DataFrame) -> "pd.Series[float]":
        """Forecasts from raw rows in the order of time.

        Args:
            inputs: The columns of the file it was trained on, with times written as there, or as
                an index. Gaps take the value before them, so more rows than the window help.

        Returns:
            One forecast in the target's unit per row, from the row that completes the first
            window on; each is for the time `horizon` rows after its own row.

        Raises:
            DataError: There are fewer rows than a window, a column is missing, or times are
                written in another way or jump further than those it was trained on.
        """
        rows = self._in_time(inputs)
        if len(rows) < self.window:
            raise DataError(
                f"the inputs have {plural(len(rows), 'row')}; this model needs {self.window} or "
                "more"
            )
        ends = torch.arange(self.window - 1, len(rows))
        self.network.eval()
        with torch.inference_mode():
            scaled = forecast(
                self.network, torch.from_numpy(self.encoder.apply(rows)), ends, self.window
            )
        values = scaled.numpy().astype(float) * self.target_deviation + self.target_mean
        name = forecast_name(self.encoder.numeric[0], self.horizon)
        return pd.Series(values, index=rows.index[self.window - 1 :], name=name)

    @property
    def example(self) -> pd.DataFrame:
        """One window of made-up rows with the raw columns, time included."""
        encoder = self.encoder
        frame = pd.DataFrame({name: [0.0] * self.window for name in encoder.columns})
        for name, mean in zip(encoder.numeric, encoder.means, strict=False):
            frame[name] = mean
        for name, levels in encoder.levels.items():
            frame[name] = levels[0]
        if self.times is None:
            return frame
        step = pd.Timedelta(seconds=self.step_seconds or 3600.0)
        times = pd.date_range("2024-01-01", periods=self.window, freq=step)
        return pd.concat([self.times.written(times), frame], axis=1)

    @property
    def untyped(self) -> tuple[str, ...]:
        """Columns that are taken as text, as numbers or as times: it reads them itself."""
        return () if self.times is None else self.times.columns

    def save(self, directory: Path) -> None:
        """Write `weights.pt` and `model.json` into an existing directory."""
        content = {name: value for name, value in vars(self).items() if name != "network"}
        content["architecture"] = asdict(self.network.architecture)
        content["encoder"] = asdict(self.encoder)
        content["times"] = None if self.times is None else asdict(self.times)
        save_network(directory, self.network, content)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read back what `save` wrote; predictions are the same to the last bit.

        Raises:
            DataError: The directory holds no such model, or a damaged one.
        """
        content, weights = load_network(directory, "forecaster")
        with damage_named(directory / DESCRIPTION, "forecaster"):
            network = LSTMNetwork(Architecture(**content.pop("architecture")))
            network.load_state_dict(weights)
            encoder = InputEncoder.from_lists(content.pop("encoder"))
            times = cls._known_times(directory, content)
            return cls(network, encoder, times=times, **content)

    @staticmethod
    def _known_times(directory: Path, content: dict[str, Any]) -> TimeFormat | None:
        if "times" not in content:
            raise DataError(
                f"the forecaster in {str(directory)!r} was saved by an older version, which did "
                "not save how its times are written; tune it again under another name"
            )
        times = content.pop("times")
        return None if times is None else TimeFormat.from_json(times)

    def _in_time(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows indexed by time, with an empty one for each time left out."""
        if self.times is not None and not isinstance(frame.index, pd.DatetimeIndex):
            frame = frame.set_index(pd.DatetimeIndex(self.times.read(frame))).sort_index()
        if not isinstance(frame.index, pd.DatetimeIndex) or len(frame) < 2:
            return frame
        self._check_jumps(frame.index)
        if self.step_seconds is None:
            return frame
        step = pd.Timedelta(seconds=self.step_seconds)
        grid = pd.date_range(frame.index.min(), frame.index.max(), freq=step)
        if frame.index.has_duplicates or not frame.index.isin(grid).all():
            raise DataError(
                f"the rows are not {step} apart, as those the model was trained on; bring them "
                "to that step, one row per time"
            )
        return frame.reindex(grid)

    def _check_jumps(self, index: pd.DatetimeIndex) -> None:
        """Refuse a jump that nothing it was trained on resembles, instead of filling it."""
        ordered = index.sort_values()
        steps = ordered[1:] - ordered[:-1]
        if self.gap_seconds is None or steps.max() <= pd.Timedelta(seconds=self.gap_seconds):
            return
        place = int(steps.argmax())
        raise DataError(
            f"the rows jump from {ordered[place]} to {ordered[place + 1]}, {steps.max()}; those "
            f"the model was trained on lack values for {pd.Timedelta(seconds=self.gap_seconds)} "
            "at most: give the rows between, empty ones where nothing was measured"
        )


def forecast_name(target: str, horizon: int) -> str:
    """Name of the column of forecasts.

    Example:
        >>> forecast_name("AQI", 6)
        'AQI +6'
    """
    return f"{target} +{horizon}"


def _load_pyfunc(path: str) -> Forecaster:
    """What MLflow calls to read the model back."""
    return Forecaster.load(Path(path))
