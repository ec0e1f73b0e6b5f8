"""Fixtures of the tests against the local cloud in memory: a fresh cloud for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.storage import disks
from tests.support.cloud_server import CloudHarness
from tests.support.memory_machines import grow


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(disks, "grow", grow)
    harness = CloudHarness(tmp_path)
    yield harness
    harness.server.stop()


@pytest.fixture
def fleet_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A local cloud whose machines serve HTTP, with short intervals and timeouts."""
    from tests.support.cloud_fleet import FleetCloud

    monkeypatch.setattr(disks, "grow", grow)
    monkeypatch.setattr("localcloud.core.periodic.SECONDS", 0.05)
    monkeypatch.setenv("GOLDENAMI_REFRESH_TIMEOUT", "2")
    harness = FleetCloud(tmp_path)
    yield harness
    harness.server.stop()
