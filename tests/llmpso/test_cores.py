"""The limits of a container count, not only the cores of its machine."""

import os
from pathlib import Path

import pytest

from llmpso import cores
from llmpso.cores import usable_cores


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A machine of eight cores, on which a process is in these groups with these limits."""

    def build(membership: str, limits: dict[str, str]) -> None:
        (tmp_path / "cgroup").write_text(membership)
        for name, text in limits.items():
            file = tmp_path / "groups" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")
        monkeypatch.setattr(cores, "CGROUPS", tmp_path / "groups")
        monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "cgroup")
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)

    return build


@pytest.mark.parametrize(
    ("membership", "limits", "n_cores"),
    [
        ("0::/\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/\n", {"cpu.max": "max 100000"}, 8),
        ("0::/\n", {"cpu.max": "50000 100000"}, 1),
        ("0::/\n", {"cpu.max": "250000 100000"}, 3),
        ("0::/\n", {"cpu.max": "1600000 100000"}, 8),
        ("0::/pod/one\n", {"pod/one/cpu.max": "max 100000", "pod/cpu.max": "400000 100000"}, 4),
        ("0::/pod/one\n", {"other/cpu.max": "100000 100000"}, 8),
        (
            "5:memory:/\n4:cpu,cpuacct:/docker/a:b\n",
            {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"},
            3,
        ),
        (
            "4:cpu,cpuacct:/\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            8,
        ),
        ("0::/\n", {"cpu.max": "unreadable"}, 8),
        ("", {}, 8),
    ],
)
def test_a_limit_of_the_container_counts(container, membership, limits, n_cores) -> None:
    container(membership, limits)
    assert usable_cores() == n_cores


def test_where_no_groups_are_shown_all_cores_count(container, monkeypatch, tmp_path) -> None:
    container("", {})
    monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "nothing")
    assert usable_cores() == 8
