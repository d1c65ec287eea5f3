import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from llmpso.data.series.air_quality import load_taiwan, pm25_to_aqi
from llmpso.errors import DataError


@pytest.mark.parametrize(
    ("concentration", "index"),
    [
        (0.0, 0),
        (9.0, 50),
        (9.05, 50),  # truncated to 9.0, which no gap separates from 9.1
        (9.1, 51),
        (np.nextafter(9.1, 0), 51),  # 9.1 but for the last bit
        (12.0, 56),  # 49 / 26.3 * 2.9 + 51 = 56.40
        (35.4, 100),
        (35.49, 100),
        (35.5, 101),
        (35.9, 102),  # 49 / 19.9 * 0.4 + 101 = 101.98
        (55.4, 150),
        (55.5, 151),
        (90.0, 175),  # 49 / 69.9 * 34.5 + 151 = 175.18
        (125.4, 200),
        (125.5, 201),
        (200.0, 275),  # 99 / 99.9 * 74.5 + 201 = 274.83
        (225.5, 301),
        (325.4, 500),
        (375.4, 600),  # beyond the table the last segment goes on: 199 / 99.9 * 50 = 99.6
    ],
)
def test_index_equals_values_computed_by_hand(concentration, index):
    assert pm25_to_aqi(concentration) == index


def test_every_tenth_is_truncated_as_written():
    tenths = np.arange(0, 1000)
    assert (pm25_to_aqi(tenths / 10) == pm25_to_aqi(tenths / 10 + 0.09)).all()


def test_gaps_stay_gaps():
    assert np.isnan(pm25_to_aqi([np.nan, 9.0])).tolist() == [True, False]


def test_negative_concentration_is_refused():
    with pytest.raises(DataError, match=r"PM2.5 is -1.5 .*leave them out"):
        pm25_to_aqi([3.0, -1.5])


def test_taiwan_is_hourly_and_complete():
    series = load_taiwan()
    assert len(series.frame) == 1416
    assert series.step == pd.Timedelta(hours=1)
    assert series.target == "AQI"
    assert series.name == "air-quality"
    known = series.frame.dropna(subset=["AQI"])
    assert (known["AQI"] == pm25_to_aqi(known["PM2.5"])).all()
    assert 1300 < len(known) < 1416


def test_data_room_imports_no_torch():
    code = (
        "import sys; import llmpso.data.series.air_quality, llmpso.data.series.windows;"
        "import llmpso.data.series.time_series;"
        "sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
