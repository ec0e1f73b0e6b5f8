"""What the flows' tests work with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goldenami.bake import bake
from goldenami.bake.model import BakeOptions
from tests.support.contexts import Checkout
from tests.support.http_server import Web


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A workshop with an account of its own."""
    return Checkout(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def web() -> Iterator[Web]:
    """A healthy application on loopback."""
    with Web([200]) as server:
        yield server


@pytest.fixture(scope="session")
def _stock(tmp_path_factory: pytest.TempPathFactory, web: Web) -> Checkout:
    with pytest.MonkeyPatch.context() as patch:
        made = Checkout(tmp_path_factory.mktemp("stock"), patch)
        bake.bake(made.ctx({"app.port": web.port}), BakeOptions())
    return made


@pytest.fixture
def _baked(_stock: Checkout, at: Checkout) -> None:
    """v1.0 is there, baked from what the workshop holds."""
    at.copy_from(_stock)
