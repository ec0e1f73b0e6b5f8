"""Bakes that are killed in any phase: the next bake continues and leaves nothing behind."""

from __future__ import annotations

import signal
import time

import pytest

from tests.e2e.cases import few
from tests.e2e.workspace import Workspace

pytestmark = pytest.mark.e2e

# Log output at the start of each phase.
PHASES = {
    "launching": "Launching a source AWS instance",
    "building": "scripts/30-build.sh",
    "imaging": "Creating AMI guestbook-golden",
    "waiting": "Waiting for AMI to become ready",
    "verifying": "probing http://",
}


def finish(ctx: Workspace, before: set[str]) -> None:
    """Check that the next bake succeeds, creates one AMI and leaves nothing behind."""
    ami = ctx.ok("bake").strip()
    assert ctx.golden_ids() == before | {ami}
    assert ctx.candidate() == ami
    assert ctx.leftovers() == []


@pytest.mark.parametrize("phase", few(PHASES, "building", "waiting", "verifying"))
def test_killed_bake_is_completed_by_the_next(tiny: Workspace, phase: str) -> None:
    before = tiny.golden_ids()
    with tiny.running("bake") as bake:
        bake.wait_for(PHASES[phase])
        bake.stop(signal.SIGKILL)
    finish(tiny, before)


def test_interrupt_cleans_up(tiny: Workspace) -> None:
    before = tiny.golden_ids()
    with tiny.running("bake") as bake:
        bake.wait_for(PHASES["building"])
        assert bake.stop(signal.SIGINT) == 130
        assert "interrupted" in bake.log.read_text()
    assert tiny.leftovers() == []
    finish(tiny, before)


def test_terminate_during_gate_2_cleans_up(tiny: Workspace) -> None:
    before = tiny.golden_ids()
    with tiny.running("bake") as bake:
        bake.wait_for(PHASES["verifying"])
        assert bake.stop(signal.SIGTERM) == 130
    assert tiny.leftovers() == []
    finish(tiny, before)


def test_sweep_deletes_only_resources_of_crashed_runs(tiny: Workspace) -> None:
    ec2 = tiny.client("ec2")
    tags = [{"Key": "goldenami:run", "Value": "20260101-000000-another"}]
    foreign = ec2.create_security_group(
        GroupName="goldenami-foreign",
        Description="a copy_checkout's run",
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
    )["GroupId"]
    try:
        with tiny.running("bake") as bake:
            bake.wait_for(PHASES["verifying"])
            bake.stop(signal.SIGKILL)
        assert any("instance" in left for left in tiny.leftovers())
        planned = tiny.ok("sweep", "--plan")
        assert "would delete" in planned
        assert "kept (may be running)" in planned
        tiny.ok("sweep")
        assert [left for left in tiny.leftovers() if "foreign" not in left] == []
        assert foreign in tiny.ok("sweep")
    finally:
        tiny.ok("sweep", "--run", "20260101-000000-another")
    assert tiny.leftovers() == []


def test_concurrent_bake_waits_for_the_first(tiny: Workspace) -> None:
    before = tiny.golden_ids()
    with tiny.running("bake") as first:
        first.wait_for(PHASES["launching"])
        with tiny.running("bake") as second:
            second.wait_for("another bake is running in this checkout")
            assert first.process.wait(600) == 0
            assert second.process.wait(600) == 0
            time.sleep(0.1)
            assert "unchanged" in second.log.read_text()
    assert len(tiny.golden_ids() - before) == 1
