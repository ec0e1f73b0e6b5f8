"""The fixture of the API tests: a fresh local cloud for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_harness import Harness
from fake_machines import grow

from localcloud import disks


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(disks, "grow", grow)
    harness = Harness(tmp_path)
    yield harness
    harness.server.stop()


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A local cloud whose machines serve HTTP, with short ticks and little patience."""
    from fleet_lab import Town

    monkeypatch.setattr(disks, "grow", grow)
    monkeypatch.setattr("localcloud.ticks.SECONDS", 0.05)
    monkeypatch.setenv("GOLDENAMI_REFRESH_PATIENCE", "2")
    harness = Town(tmp_path)
    yield harness
    harness.server.stop()
