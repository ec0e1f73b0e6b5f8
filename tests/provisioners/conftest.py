"""Fixtures of the provisioning scripts' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.provisioners.guest import Guest


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    """A new run folder."""
    return Guest(tmp_path)
