"""The same bake on virtual machines: one whole bake and one boot, since QEMU without KVM is slow."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.e2e import workspace
from tests.e2e.workspace import Workspace

pytestmark = pytest.mark.qemu


def test_a_bake_on_virtual_machines(tmp_path: Path) -> None:
    state = Path(tempfile.mkdtemp(prefix="goldenami-qemu-"))
    shop = Workspace(workspace.checkout(tmp_path / "shop"), state, {"GOLDENAMI_MACHINES": "qemu"})
    workspace.use_tiny_app(shop, "qemu")
    try:
        ami = shop.ok("bake", timeout=2400).strip()
        assert shop.cloud()["driver"] == "qemu"
        (image,) = shop.golden()
        assert (image["id"], image["status"]) == (ami, "verified")
        assert shop.leftovers() == []
        shop.ok("local.down")
        assert shop.on_this_machine() == []
    finally:
        shop.invoke("local.down")
        shutil.rmtree(state, ignore_errors=True)
