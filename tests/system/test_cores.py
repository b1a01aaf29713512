"""How many cores may be used: those that affinity and the control group's quota leave."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from layerline.system import cores

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("damaged", 8), (None, 8)],
)
def test_a_quota_takes_cores_away(
    quota: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of eight cores, a quota leaves its whole ones, at least one; one that cannot be read leaves all."""
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    monkeypatch.setattr(cores, "CGROUP_QUOTA", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.cores() == expected
