"""Bake on a virtual machine. QEMU without KVM is slow, so it reuses the base layer of a container: both drivers boot the
same disks."""

from __future__ import annotations

import pytest

from tests.e2e.workspace import Workspace

pytestmark = pytest.mark.qemu


def test_virtual_machine_bakes_and_boots(tiny: Workspace) -> None:
    tiny.ok("local.down")
    tiny.env["GOLDENAMI_MACHINES"] = "qemu"
    try:
        ami = tiny.ok("bake", timeout=2400).strip()
        assert tiny.cloud()["driver"] == "qemu"
        newest = tiny.golden()[0]
        assert (newest["id"], newest["status"]) == (ami, "verified")
        assert tiny.leftovers() == []
    finally:
        tiny.invoke("local.down")
        tiny.env.clear()
    assert tiny.host_leftovers() == []
