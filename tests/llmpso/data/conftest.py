import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("LLMPSO_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data():
    """Folder of public data sets that are too large to ship."""
    if not SHARED.is_dir():
        pytest.skip(f"no folder {SHARED}; name it in LLMPSO_TEST_DATA")
    return SHARED
