"""Real hourly air quality that comes with an installed package, and the US air quality index."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from llmpso.data.series.time_series import TimeSeries, span
from llmpso.errors import DataError

PM25_BREAKPOINTS = (
    # (concentration from, to, µg/m³, index from, to)
    (0.0, 9.0, 0, 50),
    (9.1, 35.4, 51, 100),
    (35.5, 55.4, 101, 150),
    (55.5, 125.4, 151, 200),
    (125.5, 225.4, 201, 300),
    (225.5, 325.4, 301, 500),
)
"""US EPA, Technical Assistance Document for the Reporting of Daily Air Quality, May 2024
(EPA-454/B-24-002), table 6; in force since 6 May 2024 (40 CFR 58, appendix G)."""

FEATURES = ("PM2.5", "PM10", "SO2", "NOx", "CO", "O3", "WS", "WD", "AT", "RH")
"""Columns of the Taiwan file that a forecast uses: pollutants, wind, temperature, humidity."""


def load_taiwan() -> TimeSeries:
    """Hourly air quality in Taiwan, February and March 2021; the target is the AQI of PM2.5.

    Raises:
        DataError: The package with the measurements is not installed.
    """
    table = pd.read_csv(_aeroviz_file(), usecols=["Time", *FEATURES], parse_dates=["Time"])
    frame = table.set_index("Time")[list(FEATURES)].astype(float)
    frame.insert(0, "AQI", pm25_to_aqi(frame["PM2.5"]))
    return TimeSeries(
        frame=frame,
        target="AQI",
        features=FEATURES,
        name="air-quality",
        description=(
            f"hourly air quality index from PM2.5 at one station in Taiwan, {span(frame)}"
        ),
        source="AeroViz/data/DEFAULT_DATA.csv (MIT licence)",
        unit="AQI points",
        angles=("WD",),
    )


def pm25_to_aqi(concentrations: ArrayLike) -> NDArray[np.float64]:
    """The US air quality index of PM2.5, by the breakpoints of 2024.

    EPA defines it for a mean over 24 hours; here hourly values go into it directly, so that it
    is an index of each hour. Concentrations are truncated to 0.1 and the index is rounded, as
    EPA prescribes; above 325.4 the last segment is extended, so the index may exceed 500.

    Args:
        concentrations: µg/m³, any shape; NaN where unknown.

    Returns:
        Index points, same shape; NaN where unknown.

    Raises:
        DataError: A concentration is negative.
    """
    values = np.asarray(concentrations, dtype=float)
    if (values < 0).any():
        raise DataError(
            f"PM2.5 is {np.nanmin(values):g} µg/m³; negative values have no index, leave them out"
        )
    # Rounded first, because a computed 9.1 may be slightly below 9.1.
    truncated = np.floor(np.round(values * 10, 6)) / 10
    low, high, index_low, index_high = np.array(PM25_BREAKPOINTS).T
    segment = np.minimum(np.searchsorted(high, truncated), len(high) - 1)
    slope = (index_high - index_low) / (high - low)
    index = slope[segment] * (truncated - low[segment]) + index_low[segment]
    return np.asarray(np.floor(index + 0.5))


def _aeroviz_file() -> Path:
    # Found, not imported: the package pulls in numba, which takes seconds.
    spec = importlib.util.find_spec("AeroViz")
    if spec is None or spec.origin is None:
        raise DataError(
            "the data of the objective 'lstm' needs AeroViz: pip install 'llmpso[demo]', or name "
            "your own with csv and target"
        )
    return Path(spec.origin).parent / "data" / "DEFAULT_DATA.csv"
