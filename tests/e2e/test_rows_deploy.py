"""Data on the root disk without an Auto Scaling group: `deploy` transfers it and terminates no instance that has data."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e import workspace
from tests.e2e.cases import few
from tests.e2e.relay import Relay
from tests.e2e.service import FAST_SETTINGS, Service, command
from tests.e2e.test_promote_crash import run_and_kill
from tests.e2e.test_rows import (
    CALLS,
    relayed,  # noqa: F401 - a fixture
)
from tests.e2e.workspace import Workspace
from tests.e2e.writer import Writer

pytestmark = [pytest.mark.e2e, pytest.mark.data]

STEPS = ("noted", "launched", "moving", "fenced", "backed up", "restored", "adopted", "open", "opened", "terminated")
WAYS = {**{step: CALLS[step] for step in STEPS}, "registered": lambda name, _: name == "RegisterTargets"}


@pytest.fixture(scope="module")
def guestbook(ctx: Workspace, baked: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One instance behind a load balancer without an Auto Scaling group, with its data on the root disk."""
    other = workspace.copy_checkout(ctx, tmp_path_factory.mktemp("rows") / "alone")
    for old, new in FAST_SETTINGS.items():
        other.edit("golden.toml", old, new)
    address = other.ok("fleet.create", "--ami", baked).strip()
    found = Service(other, baked, address.removeprefix("http://"))
    groups = found.client("autoscaling")
    groups.delete_auto_scaling_group(AutoScalingGroupName="guestbook-asg", ForceDelete=True)
    deadline = time.monotonic() + 60
    while groups.describe_auto_scaling_groups()["AutoScalingGroups"] or instances(found):
        assert time.monotonic() < deadline
        time.sleep(1)
    other.ok("deploy", "--ami", baked)
    yield found
    done = other.invoke("fleet.destroy", "--yes")
    assert done.returncode == 0, done.stderr
    for one in instances(found):
        other.ok("terminate", "--instance", one, "--force")
    other.ok("fleet.destroy", "--yes")
    found.clean_up()
    assert other.leftovers() == []


def instances(service: Service) -> dict[str, str]:
    """Return the AMI of each instance that is not terminated, by instance id."""
    found = service.client("ec2").describe_instances(Filters=[{"Name": "tag:goldenami:fleet", "Values": ["guestbook"]}])
    return {
        i["InstanceId"]: i["ImageId"]
        for r in found["Reservations"]
        for i in r["Instances"]
        if i["State"]["Name"] not in ("terminated", "shutting-down")
    }


def assert_idle(service: Service, image: str) -> None:
    """Check that one instance of this image receives all requests, without an unfinished switchover."""
    ((only, found),) = instances(service).items()
    assert found == image
    assert service.production_ami() == image
    balancers = service.client("elbv2")
    (target,) = balancers.describe_target_groups()["TargetGroups"]
    health = balancers.describe_target_health(TargetGroupArn=target["TargetGroupArn"])["TargetHealthDescriptions"]
    assert [(one["Target"]["Id"], one["TargetHealth"]["State"]) for one in health] == [(only, "healthy")]
    names = [p["Name"] for p in service.client("ssm").describe_parameters()["Parameters"]]
    assert not [name for name in names if name.endswith(("/switchover", "/lock"))]


@pytest.fixture(scope="module")
def pair(guestbook: Service) -> tuple[str, str]:
    """Two healthy images to switch between."""
    return guestbook.good, guestbook.image("healthy")


@pytest.mark.parametrize("call", few(WAYS))
def test_killed_deploy_is_completed_by_the_next(
    guestbook: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str], call: str
) -> None:
    ctx, relay = relayed
    image = pair[1] if guestbook.production_ami() == pair[0] else pair[0]
    with Writer(guestbook.address) as writer:
        run_and_kill(ctx, relay, WAYS[call], "deploy", "--ami", image)
        ctx.ok("deploy", "--ami", image)
        after = len(writer.acknowledged)
        deadline = time.monotonic() + 30
        while len(writer.acknowledged) == after:
            assert time.monotonic() < deadline, "writes did not resume"
            time.sleep(0.1)
    assert_idle(guestbook, image)
    writer.check()


@pytest.mark.long
def test_deploy_and_deploy_back_transfer_every_row(guestbook: Service, pair: tuple[str, str]) -> None:
    with Writer(guestbook.address) as writer:
        for image in (pair[0], pair[1], pair[0]):
            if guestbook.production_ami() != image:
                before = instances(guestbook)
                plan = json.loads(guestbook.ctx.ok("deploy", "--ami", image, "--plan", "--json"))
                assert ([one["id"] for one in plan["replaced"]], plan["blockers"]) == (list(before), [])
                assert any("back up the database, restore and verify it" in step for step in plan["steps"])
                assert instances(guestbook) == before
                done = guestbook.ctx.invoke("deploy", "--ami", image)
                assert done.returncode == 0, done.stderr[-3000:]
                assert "is in service; read-only " in done.stderr
                assert_idle(guestbook, image)
    writer.check()
    print(f"{len(writer.acknowledged)} rows, longest write downtime {writer.longest:.1f} s")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["unit fails"])
def test_unhealthy_image_loses_no_row(guestbook: Service, kind: str) -> None:
    before = guestbook.production_ami()
    with Writer(guestbook.address) as writer:
        done = guestbook.ctx.invoke("deploy", "--ami", guestbook.image(kind))
        assert done.returncode == 5, done.stderr[-3000:]
        assert "The previous instance is in service" in done.stderr
    assert_idle(guestbook, before)
    writer.check()
    assert writer.refused == []


@pytest.mark.long
def test_unhealthy_instance_with_data_is_not_terminated(guestbook: Service) -> None:
    image = guestbook.production_ami()
    with Writer(guestbook.address) as writer:
        pass
    before = instances(guestbook)
    command(guestbook, next(iter(before)), "systemctl stop guestbook")
    done = guestbook.ctx.invoke("deploy", "--ami", image)
    assert done.returncode == 5
    assert "keeps running, as before" in done.stderr
    assert instances(guestbook) == before
    command(guestbook, next(iter(before)), "systemctl start guestbook")
    guestbook.ctx.ok("deploy", "--ami", image)
    assert_idle(guestbook, image)
    writer.check()
