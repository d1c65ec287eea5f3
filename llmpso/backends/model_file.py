"""The file of the embedded model: fetched once, verified by hash, kept in the user's cache."""

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from llmpso.backends.model_sources import download, download_parts, join
from llmpso.errors import BackendUnavailableError

PATH_VARIABLE = "LLMPSO_MODEL_PATH"

Report = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""

_log = logging.getLogger(__name__)
