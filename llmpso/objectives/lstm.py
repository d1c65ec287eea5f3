"""Tuning the LSTM that forecasts a time series."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from llmpso.data.series.time_series import TimeSeries
from llmpso.data.series.windows import Part, make_windows, split_rows, thin
from llmpso.objectives.averaged import AveragedModel, single_or_averaged
from llmpso.objectives.dataset import Dataset
from llmpso.objectives.forecast_baselines import (
    LinearModel,
    best_ridge,
    forecast_baselines,
    ridge_by_lags,
)
from llmpso.objectives.forecast_hold_out import (
    forecast_record,
    held_out_losses,
    live_losses,
    validation_forecasts,
    watched_columns,
)
from llmpso.objectives.forecaster import Forecaster
from llmpso.objectives.held_out import HeldOut
from llmpso.objectives.lstm_network import (
    Architecture,
    LSTMNetwork,
    forecast,
    gather,
    share_of_lstm,
)
from llmpso.objectives.network import NO_LIMITS, FitProblem, NetworkLimits, NetworkObjective
from llmpso.objectives.training import FitResult, FitSettings, check_positive
from llmpso.objectives.tunables import Tunables, per_layer
from llmpso.space import Dimension, Float, Floats, Integer, Ordinal, Params, SearchSpace
from llmpso.trial import Evaluation

CODE_VERSION = 2
"""Raise it whenever the same parameters would give another value."""

MAX_WINDOWS = 2048
"""Training windows per epoch (others each time) and validation windows at all, so that a long
series costs no more than minutes; neighbouring windows share all rows but one."""

_LAYERS, _UNITS = Integer(1, 3), Integer(8, 128, log=True)
_PAPER: dict[str, Dimension] = {"layers": _LAYERS, "hidden_units": _UNITS}
_TRAINING: dict[str, Dimension] = {
    "learning_rate": Float(1e-4, 3e-2, log=True),
    "dropout": Float(0.0, 0.5),
}
_STANDARD = _PAPER | _TRAINING
_WIDE: dict[str, Dimension] = _STANDARD | {
    "window": Integer(6, 48, log=True),
    "batch_size": Ordinal((32, 64, 128, 256)),
}

TUNABLES = Tunables(
    spaces={
        "paper": SearchSpace(_PAPER),
        "standard": SearchSpace(_STANDARD),
        "wide": SearchSpace(_WIDE),
        "layers": SearchSpace(
            {"layers": _LAYERS, **per_layer("hidden_units", _UNITS, 3), **_TRAINING}
        ),
    },
    width="hidden_units",
    fixed={"learning_rate": 0.005, "dropout": 0.1, "window": 24, "batch_size": 64},
)


class LSTMObjective(NetworkObjective[LSTMNetwork]):
    """Validation error of an LSTM forecaster, by its hyperparameters."""

    def __init__(
        self,
        series: TimeSeries,
        *,
        horizon: int = 6,
        window: int = 24,
        max_epochs: int = 40,
        batch_size: int | None = None,
        device: str = "auto",
        space: SearchSpace | None = None,
        limits: NetworkLimits = NO_LIMITS,
        goals: Sequence[str] = (),
    ) -> None:
        """Cut the series into windows and put them on the device, once for all evaluations.

        Args:
            series: The data.
            horizon: Rows from the last input to the value to forecast.
            window: Rows of input, where the space does not name it.
            max_epochs: Epochs at fidelity 1.
            batch_size: Windows per step, where the space does not name it; by default 64, or 128
                from 2,048 windows on.
            device: `auto`, `cpu` or `cuda`.
            space: What may be tried; it must name layers and hidden_units, or hidden_units_1 and
                so on, and may name all else in the space `wide`. By default the space `standard`.
            limits: How large and how slow a network may be.
            goals: What is lowered beside the error: `latency_ms`, `parameters`.

        Raises:
            DataError: Window and horizon do not fit the series.
            SpecError: An option is out of range.
        """
        super().__init__(TUNABLES, space, max_epochs, device, limits, goals)
        self.series = series
        # Cut at the longest window that may be tried, so that all are evaluated on the same rows.
        longest = int(self.space["window"].decode(1.0)) if "window" in self.space else window
        self.windows = make_windows(
            series, window=longest, horizon=horizon, max_validation=MAX_WINDOWS
        )
        few = len(self.windows.train) < MAX_WINDOWS
        batch_size = (64 if few else 128) if batch_size is None else batch_size
        check_positive("batch_size", batch_size)
        fixed = dict(TUNABLES.fixed) | {"window": window, "batch_size": batch_size}
        self._tunables = replace(TUNABLES, fixed=fixed)
        self._mean = float(self.windows.train.targets.mean())
        self._deviation = float(self.windows.train.targets.std())
        self._inputs = torch.from_numpy(self.windows.inputs).to(self.device)
        self._train = self._on_device(self.windows.train)
        self._scaled_targets = ((self._train[1] - self._mean) / self._deviation).float()
        self._train_sample = self._on_device(thin(self.windows.train, MAX_WINDOWS))
        self._validation = self._on_device(self.windows.validation)
        self._test = self._on_device(self.windows.test)

    @property
    def name(self) -> str:
        """Short name, fit for a registered model."""
        return f"lstm-{self.series.name}"

    @property
    def metric(self) -> str:
        """Name and unit of the value."""
        return f"validation RMSE ({self.series.unit})"

    @property
    def description(self) -> str:
        """The task, the size of the data and the training, in three sentences."""
        windows, columns = self.windows, self.windows.encoder.columns
        named = ", ".join(columns[:20]) + (", …" if len(columns) > 20 else "")
        fixed = self._fixed
        steps = f"last {fixed['window']}" if "window" in fixed else "last"
        batches = f"batches of {fixed['batch_size']}" if "batch_size" in fixed else "batches"
        return (
            f"An LSTM forecasts {self.series.target}, {windows.horizon} steps ahead: "
            f"{self.series.description}. It sees the {steps} steps of "
            f"{windows.inputs.shape[1]} standardised inputs ({named}), with one dropout rate for "
            "inputs and states and a linear path from the last step beside it, and its forecasts "
            "are averaged with those of ridge regression, weighted by validation error. Adam "
            f"minimises the squared error on {len(windows.train):,} overlapping training "
            f"windows in {batches} for at most {self.max_epochs} epochs, with early stopping on "
            "validation data that comes later in time."
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided, corrected or left out when the series was read."""
        return self.series.notes

    @property
    def fingerprint(self) -> str:
        """Hash of all that a value depends on besides parameters, fidelity and seed."""
        settings = {
            "code": CODE_VERSION,
            "data": self.series.fingerprint,
            "times": repr(self.series.time_format),
            "longest": self.windows.window,
            "horizon": self.windows.horizon,
            "fixed": self._fixed,
            "max_epochs": self.max_epochs,
            "device": self.device.type,
        } | self._decisive
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def describe_data(self) -> Dataset:
        """The rows of the series, and how they are split in time."""
        series, used = self.series, self.series.frame[[self.series.target, *self.series.features]]
        rows = (len(range(part.start, part.stop)) for part in split_rows(len(used)))
        return Dataset(
            name=series.name,
            source=series.source,
            digest=series.fingerprint,
            n_rows=len(used),
            columns={str(name): str(kind) for name, kind in used.dtypes.items()},
            split=dict(zip(("training", "validation", "test"), rows, strict=True)),
        )

    def baselines(self) -> dict[str, dict[str, float]]:
        """RMSE of persistence and ridge on the same windows, in the target's unit."""
        return forecast_baselines(self.windows)

    @property
    def frame(self) -> pd.DataFrame:
        """All rows of the series, with the columns to watch for drift."""
        return watched_columns(self.series)

    @property
    def n_held_out(self) -> int:
        """Newest rows, by which no trial is chosen."""
        rows = split_rows(len(self.series.frame))[2]
        return len(range(rows.start, rows.stop))

    def read_model(self, directory: Path) -> Forecaster | AveragedModel:
        """Read back what `Forecaster.save` wrote, or an average of such.

        Raises:
            DataError: The directory holds no such model, or a damaged one.
        """
        return single_or_averaged(directory, Forecaster.load)

    def validated(self, model: Any) -> tuple[Floats, Floats]:
        """Forecasts of a model over the validation windows, and what came."""
        return validation_forecasts(self.series, self.windows, model)

    def held_out(self, model: Any) -> HeldOut:
        """Squared errors of a model over the newest rows."""
        return held_out_losses(self.series, self.windows, model)

    def live_losses(self, predictions: pd.DataFrame, after: str) -> HeldOut | None:
        """Squared errors of forecasts made in production, where the truth has come in."""
        return live_losses(self.series, self.windows, predictions, after)

    def records(self, model: Any) -> dict[str, dict[str, Any]]:
        """Forecasts of a model over the newest rows, beside what came."""
        return {"forecast.json": forecast_record(self.series, self.windows, model)}

    def _network(self, chosen: Params, generator: torch.Generator) -> LSTMNetwork:
        network = self._empty(chosen)
        network.initialise(generator)
        ridge = self._ridge(chosen["window"])
        weights = torch.from_numpy(ridge.weights / self._deviation).float()
        network.set_ridge(weights, (ridge.intercept - self._mean) / self._deviation)
        return network

    @cached_property
    def _ridges(self) -> list[LinearModel]:
        """One per number of lags; fitted once, at the first training."""
        return ridge_by_lags(self.windows)

    def _ridge(self, window: int) -> LinearModel:
        return best_ridge(self._ridges, self.windows, window)

    def _empty(self, chosen: Params) -> LSTMNetwork:
        return LSTMNetwork(
            Architecture(
                n_inputs=self.windows.inputs.shape[1],
                layers=chosen["layers"],
                hidden_units=self._tunables.widths(chosen),
                dropout=chosen["dropout"],
                window=chosen["window"],
            )
        )

    def _example(self, chosen: Params) -> Tensor:
        return gather(self._inputs, self._validation[0][:1], chosen["window"]).cpu()

    def _fit_problem(
        self, network: LSTMNetwork, chosen: Params, generator: torch.Generator
    ) -> FitProblem:
        ends, scaled, window = self._train[0], self._scaled_targets, chosen["window"]

        def batch_loss(indices: Tensor) -> Tensor:
            windows = gather(self._inputs, ends[indices], window)
            return torch.nn.functional.mse_loss(network(windows, generator), scaled[indices])

        settings = FitSettings(
            learning_rate=chosen["learning_rate"],
            max_epochs=self.max_epochs,
            batch_size=chosen["batch_size"],
            max_samples=MAX_WINDOWS,
        )
        return FitProblem(
            batch_loss,
            self._validation_error(network, window),
            len(ends),
            settings,
        )

    def _curves(self, result: FitResult) -> dict[str, tuple[float, ...]]:
        return {
            "train_rmse": tuple(math.sqrt(loss) * self._deviation for loss in result.train_losses),
            "validation_rmse": tuple(result.validation_errors),
        }

    def _measured(self, network: LSTMNetwork, chosen: Params, result: FitResult) -> Evaluation:
        window = chosen["window"]
        metrics = {
            "train_rmse": self._rmse(network, self._train_sample, window),
            "test_rmse": self._rmse(network, self._test, window),
        }
        model = self._forecaster(network.cpu(), window)
        return Evaluation(result.best_error, metrics, model=model)

    def _forecaster(self, network: LSTMNetwork, window: int) -> Forecaster:
        return Forecaster(
            network=network,
            encoder=self.windows.encoder,
            window=window,
            horizon=self.windows.horizon,
            target_mean=self._mean,
            target_deviation=self._deviation,
            unit=self.series.unit,
            times=self.series.time_format,
            step_seconds=_seconds(self.series.step),
            gap_seconds=_seconds(self.series.longest_gap),
        )

    def _validation_error(self, network: LSTMNetwork, window: int) -> Callable[[], float]:
        """What weighs the LSTM against ridge, and gives the error of their weighted mean."""
        part = self.windows.validation
        forecasts = self._ridge(window).predict(self.windows.inputs, part.ends)
        ridge = torch.from_numpy(forecasts - part.targets).to(self.device)

        def validation_error() -> float:
            network.share.fill_(1.0)
            own = self._errors(network, self._validation, window)
            network.share.fill_(share_of_lstm(_rms(own), _rms(ridge), len(ridge)))
            return _rms(torch.lerp(ridge, own, network.share.double()))

        return validation_error

    def _rmse(self, network: LSTMNetwork, part: tuple[Tensor, Tensor], window: int) -> float:
        return _rms(self._errors(network, part, window))

    def _errors(self, network: LSTMNetwork, part: tuple[Tensor, Tensor], window: int) -> Tensor:
        """Forecast less truth in the target's unit, shape (n_windows,)."""
        ends, targets = part
        scaled = forecast(network, self._inputs, ends, window)
        return scaled.double() * self._deviation + self._mean - targets

    def _on_device(self, part: Part) -> tuple[Tensor, Tensor]:
        """Ends and targets of a part's windows."""
        ends, targets = torch.from_numpy(part.ends), torch.from_numpy(part.targets)
        return ends.to(self.device), targets.to(self.device)


def _rms(errors: Tensor) -> float:
    return float(errors.square().mean().sqrt())


def _seconds(time: pd.Timedelta | None) -> float | None:
    return None if time is None else time.total_seconds()
