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
