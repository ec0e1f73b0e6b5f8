"""Rows outlive instances also without a group: `deploy` carries them, killed or not, and ends nothing that holds them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.e2e import workspace
from tests.e2e.cases import few
from tests.e2e.relay import Relay
from tests.e2e.service import QUICK, Service, command
from tests.e2e.test_promote_crash import killed
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
def kept(ctx: Workspace, baked: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One instance behind a balancer and without a group, which keeps its rows itself."""
    other = workspace.colleague(ctx, tmp_path_factory.mktemp("rows") / "alone")
    for old, new in QUICK.items():
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
    told = other.invoke("fleet.destroy", "--yes")
    assert told.returncode == 0, told.stderr
    for one in instances(found):
        other.ok("terminate", "--instance", one, "--force")
    other.ok("fleet.destroy", "--yes")
    found.forget()
    assert other.leftovers() == []


def instances(service: Service) -> dict[str, str]:
    """The AMI of each instance that is not terminated, by the instance's id."""
    found = service.client("ec2").describe_instances(Filters=[{"Name": "tag:goldenami:fleet", "Values": ["guestbook"]}])
    return {
        i["InstanceId"]: i["ImageId"]
        for r in found["Reservations"]
        for i in r["Instances"]
        if i["State"]["Name"] not in ("terminated", "shutting-down")
    }


def settled(service: Service, image: str) -> None:
    """One instance of this image takes every request, and nothing is left of a switchover."""
    ((only, found),) = instances(service).items()
    assert found == image
    assert service.pointer() == image
    balancers = service.client("elbv2")
    (target,) = balancers.describe_target_groups()["TargetGroups"]
    health = balancers.describe_target_health(TargetGroupArn=target["TargetGroupArn"])["TargetHealthDescriptions"]
    assert [(one["Target"]["Id"], one["TargetHealth"]["State"]) for one in health] == [(only, "healthy")]
    names = [p["Name"] for p in service.client("ssm").describe_parameters()["Parameters"]]
    assert not [name for name in names if name.endswith(("/switchover", "/lock"))]


@pytest.fixture(scope="module")
def pair(kept: Service) -> tuple[str, str]:
    """Two good images to go to and fro between."""
    return kept.good, kept.image("well")


@pytest.mark.parametrize("call", few(WAYS))
def test_killed_at_any_step_the_next_deployment_finishes_it(
    kept: Service,
    relayed: tuple[Workspace, Relay],
    pair: tuple[str, str],
    call: str,
) -> None:
    ctx, relay = relayed
    image = pair[1] if kept.pointer() == pair[0] else pair[0]
    with Writer(kept.address) as writer:
        killed(ctx, relay, WAYS[call], "deploy", "--ami", image)
        ctx.ok("deploy", "--ami", image)
        after = len(writer.acknowledged)
        deadline = time.monotonic() + 30
        while len(writer.acknowledged) == after:
            assert time.monotonic() < deadline, "nobody can write"
            time.sleep(0.1)
    settled(kept, image)
    writer.check()


@pytest.mark.long
def test_a_deployment_and_the_way_back_carry_every_row(kept: Service, pair: tuple[str, str]) -> None:
    with Writer(kept.address) as writer:
        for image in (pair[0], pair[1], pair[0]):
            if kept.pointer() != image:
                before = instances(kept)
                plan = json.loads(kept.ctx.ok("deploy", "--ami", image, "--plan", "--json"))
                assert ([one["id"] for one in plan["replaced"]], plan["refusals"]) == (list(before), [])
                assert any("back its rows up, restore and compare them" in step for step in plan["steps"])
                assert instances(kept) == before
                told = kept.ctx.invoke("deploy", "--ami", image)
                assert told.returncode == 0, told.stderr[-3000:]
                assert "write downtime" in told.stderr
                settled(kept, image)
    writer.check()
    print(f"{len(writer.acknowledged)} rows, nobody could write for at most {writer.longest:.1f} s")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["unit fails"])
def test_a_bad_image_costs_no_row(kept: Service, kind: str) -> None:
    before = kept.pointer()
    with Writer(kept.address) as writer:
        done = kept.ctx.invoke("deploy", "--ami", kept.image(kind))
        assert done.returncode == 5, done.stderr[-3000:]
        assert "The previous instance is in service" in done.stderr
    settled(kept, before)
    writer.check()
    assert writer.refused == []


@pytest.mark.long
def test_an_instance_that_is_ill_is_no_reason_to_end_it(kept: Service) -> None:
    image = kept.pointer()
    with Writer(kept.address) as writer:
        pass
    before = instances(kept)
    command(kept, next(iter(before)), "systemctl stop guestbook")
    done = kept.ctx.invoke("deploy", "--ami", image)
    assert done.returncode == 5
    assert "keeps running, as before" in done.stderr
    assert instances(kept) == before
    command(kept, next(iter(before)), "systemctl start guestbook")
    kept.ctx.ok("deploy", "--ami", image)
    settled(kept, image)
    writer.check()
