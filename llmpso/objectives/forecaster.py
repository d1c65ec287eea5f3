"""A trained network with its preprocessing: from raw columns to the target's own unit."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Self

import pandas as pd
import torch

from llmpso.data.inputs import InputEncoder
from llmpso.errors import DataError
from llmpso.objectives.lstm_network import Architecture, LSTMNetwork, forecast
from llmpso.objectives.saved import load_network, save_network


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
    time_column: str | None
    """Name of the time, which `predict` takes as index or as column; None if there is none."""
    step_seconds: float | None
    """Time between two rows; None if there is no time or it is uneven."""

    def predict(self, inputs: pd.DataFrame) -> "pd.Series[float]":
        """Forecasts from raw rows in the order of time.

        Args:
            inputs: The columns of the series it was trained on, with its index, or with the time
                as a column. Gaps take the value before them, so more rows than the window help.

        Returns:
            One forecast in the target's unit per row, from the row that completes the first
            window on; each speaks of the time `horizon` rows after its own.

        Raises:
            DataError: There are fewer rows than a window, or a column is missing.
        """
        rows = self._in_time(inputs)
        if len(rows) < self.window:
            raise DataError(
                f"the inputs have {len(rows)} rows; this model needs {self.window} or more"
            )
        ends = torch.arange(self.window - 1, len(rows))
        self.network.eval()
        with torch.inference_mode():
            scaled = forecast(
                self.network, torch.from_numpy(self.encoder.apply(rows)), ends, self.window
            )
        values = scaled.numpy().astype(float) * self.target_deviation + self.target_mean
        name = f"{self.encoder.numeric[0]} +{self.horizon}"
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
        if self.time_column is not None:
            step = pd.Timedelta(seconds=self.step_seconds or 3600.0)
            times = pd.date_range("2024-01-01", periods=self.window, freq=step)
            frame.insert(0, self.time_column, times)
        return frame

    def save(self, directory: Path) -> None:
        """Write `weights.pt` and `model.json` into an existing directory."""
        content = {name: value for name, value in vars(self).items() if name != "network"}
        content["architecture"] = asdict(self.network.architecture)
        content["encoder"] = asdict(self.encoder)
        save_network(directory, self.network, content)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read back what `save` wrote; predictions are the same to the last bit.

        Raises:
            DataError: The directory holds no such model.
        """
        content, weights = load_network(directory, "forecaster")
        network = LSTMNetwork(Architecture(**content.pop("architecture")))
        network.load_state_dict(weights)
        encoder = InputEncoder.from_lists(content.pop("encoder"))
        return cls(network, encoder, **content)

    def _in_time(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows indexed by time, with an empty one for each time left out."""
        if self.time_column is not None and self.time_column in frame:
            frame = frame.set_index(pd.DatetimeIndex(frame[self.time_column]))
        timed = isinstance(frame.index, pd.DatetimeIndex) and len(frame) > 1
        if self.step_seconds is None or not timed:
            return frame
        step = pd.Timedelta(seconds=self.step_seconds)
        grid = pd.date_range(frame.index.min(), frame.index.max(), freq=step)
        if frame.index.has_duplicates or not frame.index.isin(grid).all():
            raise DataError(
                f"the rows are not {step} apart, as those the model was trained on; bring them "
                "to that step, one row per time"
            )
        return frame.reindex(grid)


def _load_pyfunc(path: str) -> Forecaster:
    """What MLflow calls to read the model back."""
    return Forecaster.load(Path(path))
