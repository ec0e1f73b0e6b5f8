"""Bakes with throttled, delayed, lost and failing API calls: they succeed or report the error."""

from __future__ import annotations

import signal

import pytest

from localcloud import control
from localcloud.state_dir import StateDir
from tests.e2e.workspace import Workspace

pytestmark = pytest.mark.e2e


def fault(ctx: Workspace, kind: str, action: str, times: int = 1, seconds: float = 0) -> None:
    order = {"kind": kind, "action": action, "times": times, "seconds": seconds}
    control.request(ctx.cloud()["endpoint"], StateDir(ctx.state).read_owner(), "POST", "faults", order)


def test_throttled_calls_are_retried(tiny: Workspace) -> None:
    before = tiny.golden_ids()
    for action in ("DescribeImages", "RunInstances", "CreateTags", "PutParameter"):
        fault(tiny, "throttle", action, times=2)
    ami = tiny.ok("bake").strip()
    assert tiny.golden_ids() == before | {ami}


def test_image_whose_creation_reply_was_lost_is_adopted(tiny: Workspace) -> None:
    before = tiny.golden_ids()
    fault(tiny, "lost_reply", "CreateImage")
    ami = tiny.ok("bake").strip()
    assert tiny.golden_ids() == before | {ami}
    assert tiny.leftovers() == []


def test_image_that_appears_after_the_run_was_killed_is_adopted(tiny: Workspace) -> None:
    before = tiny.golden_ids()
    fault(tiny, "late_ami", "CreateImage", seconds=20)
    with tiny.running("bake") as bake:
        bake.wait_for("Waiting for AMI to become ready")
        bake.stop(signal.SIGKILL)
    ami = tiny.ok("bake").strip()
    assert tiny.golden_ids() == before | {ami}
    assert tiny.leftovers() == []


@pytest.mark.parametrize(("kind", "action"), [("failed_ami", "CreateImage"), ("failed_launch", "RunInstances")])
def test_aws_error_is_reported_and_cleaned_up(tiny: Workspace, kind: str, action: str) -> None:
    candidate = tiny.candidate()
    fault(tiny, kind, action)
    done = tiny.invoke("bake")
    assert done.returncode in (4, 6), done.stderr[-2000:]
    assert "error: " in done.stderr
    assert tiny.candidate() == candidate
    ami = tiny.ok("bake").strip()
    assert tiny.candidate() == ami
    assert tiny.leftovers() == []
