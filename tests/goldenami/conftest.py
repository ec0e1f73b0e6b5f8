"""What the flows' tests work with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shops import Works
from webs import Web


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Works:
    """A workshop with an account of its own."""
    return Works(tmp_path, monkeypatch)


@pytest.fixture
def web() -> Iterator[Web]:
    """A healthy application on loopback."""
    with Web([200]) as server:
        yield server
