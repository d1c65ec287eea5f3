"""What trainings in threads of one process see of the modules that others import."""

import sys
import threading
import time
from pathlib import Path

import pytest

from llmpso.extras import loaded


def test_a_module_that_another_thread_imports_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_module.py").write_text("import time\ntime.sleep(0.3)\nsettings = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert loaded("slow_module") is None
    thread = threading.Thread(target=__import__, args=("slow_module",))
    thread.start()
    while "slow_module" not in sys.modules:
        time.sleep(0.001)
    assert loaded("slow_module").settings == 7
    thread.join()
    monkeypatch.setitem(sys.modules, "slow_module", None)
    assert loaded("slow_module") is None
