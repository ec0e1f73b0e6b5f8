"""Deployments without a group against the local cloud in this process: killed after any call, ill, or with nothing to launch."""

from __future__ import annotations

from typing import Any

import pytest

from goldenami.context import Context
from goldenami.errors import GateError
from goldenami.images.model import ImageSelector
from goldenami.promote import deploy, model as promote_model, report as promote_report
from goldenami.promote.model import PromoteOptions
from goldenami.state import lock
from tests.e2e.cases import few
from tests.integration.promote.test_promote import (
    Killed,
    Wire,
    Yard,
    yard,  # noqa: F401 - a fixture
)
from tests.support.cloud_fleet import TrafficGenerator
from tests.support.cloud_server import eventually

pytestmark = pytest.mark.fleet


@pytest.fixture(scope="module")
def lane(yard: Yard) -> Yard:
    """The same town after somebody has taken its group away: one instance behind the balancer."""
    yard.town.autoscaling.delete_auto_scaling_group(AutoScalingGroupName="guestbook-asg", ForceDelete=True)
    there = yard.town.autoscaling.describe_auto_scaling_groups
    eventually(lambda: not there()["AutoScalingGroups"] and not instances(yard), 20)
    run(yard, yard.good)
    return yard


def run(yard: Yard, ami: str, ctx: Context | None = None) -> promote_model.DeployResult:
    return deploy.deploy(ctx or yard.ctx(), PromoteOptions(ImageSelector(ami)))


def instances(yard: Yard) -> dict[str, str]:
    """The image of each of the service's instances that is not on its way out."""
    found = yard.town.ec2.describe_instances(Filters=[{"Name": "tag:goldenami:fleet", "Values": ["guestbook"]}])
    there = [i for r in found["Reservations"] for i in r["Instances"]]
    return {i["InstanceId"]: i["ImageId"] for i in there if i["State"]["Name"] not in ("terminated", "shutting-down")}


def at_rest(yard: Yard, ami: str) -> None:
    """One instance of this image takes every request, and the pointer names it."""
    ((only, found),) = instances(yard).items()
    fleet_state = yard.fleet_state()
    assert (found, fleet_state.pointer.ami if fleet_state.pointer else "") == (ami, ami)
    (group,) = yard.town.elbv2.describe_target_groups(Names=["guestbook-tg"])["TargetGroups"]
    health: list[Any] = yard.town.elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])[
        "TargetHealthDescriptions"
    ]
    assert [(one["Target"]["Id"], one["TargetHealth"]["State"]) for one in health] == [(only, "healthy")]
    assert lock.holder(yard.ctx()) is None


def test_a_good_image_costs_no_request(lane: Yard) -> None:
    image = lane.image("good")
    with TrafficGenerator(lane.town.address, rate=40) as visitors:
        run(lane, image)
    assert visitors.failures == []
    at_rest(lane, image)


def test_a_plan_says_what_would_be_done_and_changes_nothing(lane: Yard) -> None:
    image, ctx, before = lane.image("good"), lane.ctx(), instances(lane)
    wire = Wire(ctx.aws)
    found = deploy.preflight(ctx, PromoteOptions(ImageSelector(image), watch=90))
    text = promote_report.deploy_preflight(ctx, found).text
    told = promote_report.deploy_preflight(ctx, found).facts
    assert wire.calls == []
    (only,) = before
    assert ([one.id for one in found.replaced], found.existing, found.blockers) == ([only], (), ())
    assert f"launch one t3.micro from the new version alongside {only}" in text
    assert "monitor it for 1 min 30 s" in text
    assert f"terminate {only}" in text
    assert told["replaced"][0]["id"] == only
    assert told["steps"][-1] == f"point /goldenami/guestbook/production at {image}"
    lane.town.ec2.create_tags(Resources=[image], Tags=[{"Key": "goldenami:retired", "Value": "bad"}])
    found = deploy.preflight(ctx, PromoteOptions(ImageSelector(image)))
    assert "was retired (bad)" in promote_report.deploy_preflight(ctx, found).text
    ((_, running),) = before.items()
    found = deploy.preflight(ctx, PromoteOptions(ImageSelector(running)))
    assert f"continue with {only}, which runs this image" in promote_report.deploy_preflight(ctx, found).text
    assert wire.calls == []
    assert instances(lane) == before


@pytest.mark.parametrize("ill", few(["sick", "mute"], "sick"))
def test_a_bad_image_costs_nothing(lane: Yard, ill: str) -> None:
    before = instances(lane)
    with (
        TrafficGenerator(lane.town.address) as visitors,
        pytest.raises(GateError, match="failed the health gate") as caught,
    ):
        run(lane, lane.image(f"bad {ill}"))
    assert "The previous instance is in service" in str(caught.value.state)
    assert visitors.failures == []
    assert instances(lane) == before


def test_what_was_there_before_is_not_ended_because_it_is_ill(lane: Yard) -> None:
    before = instances(lane)
    ((only, image),) = before.items()
    machine: Any = next(m for m in lane.town.driver.machines if m.spec.instance_id == only)
    machine.sick = True
    with pytest.raises(GateError, match="failed the health gate") as caught:
        run(lane, image)
    assert f"{only} keeps running, as before" in str(caught.value.state)
    assert instances(lane) == before
    machine.sick = False
    run(lane, image)
    at_rest(lane, image)


CALLS = ("CreateLaunchTemplateVersion", "RunInstances", "RegisterTargets", "DeregisterTargets", "TerminateInstances")


@pytest.mark.parametrize("name", few(CALLS, "RunInstances"))
def test_killed_after_any_call_the_next_deployment_finishes_it(lane: Yard, name: str) -> None:
    image, ctx = lane.image("good"), lane.ctx()
    wire = Wire(ctx.aws)
    wire.end_after(name, 1)
    with TrafficGenerator(lane.town.address) as visitors:
        with pytest.raises(Killed):
            run(lane, image, ctx)
        assert wire.calls[-1] == name
        run(lane, image)
    assert visitors.failures == []
    at_rest(lane, image)
