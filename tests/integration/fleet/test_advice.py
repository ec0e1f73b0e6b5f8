"""Whatever breaks a fleet, the commands that the tool names one after the other lead back to a fleet that serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from goldenami.aws import auto_scaling
from goldenami.fleet import describe
from goldenami.fleet.model import FleetStatus
from tests.integration.promote.test_promote import Yard, killed, pytestmark, yard  # noqa: F401 - a fixture, and marks
from tests.support.advice import Operator
from tests.support.cloud_server import eventually

GROUP = "guestbook-asg"
POINTER = "/goldenami/guestbook/production"


def status(yard: Yard) -> FleetStatus:
    return describe.fleet_status(yard.ctx())


def instance(yard: Yard) -> str:
    (member,) = yard.fleet_state().group.members
    return str(member.id)


def stopped(yard: Yard) -> None:
    yard.town.ec2.stop_instances(InstanceIds=[instance(yard)])


def terminated(yard: Yard) -> None:
    yard.town.ec2.terminate_instances(InstanceIds=[instance(yard)])


def failing_service(yard: Yard) -> None:
    yard.town.machine(instance(yard)).sick = True


def deregistered_image(yard: Yard) -> None:
    yard.image("better")
    yard.town.ec2.deregister_image(ImageId=yard.running())


def deleted_pointer(yard: Yard) -> None:
    yard.town.ssm.delete_parameter(Name=POINTER)


def deleted_group(yard: Yard) -> None:
    yard.town.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    eventually(lambda: auto_scaling.get(yard.ctx().aws, GROUP) is None, 20)


def deleted_group_and_image(yard: Yard) -> None:
    deregistered_image(yard)
    deleted_group(yard)


def other_default(yard: Yard) -> None:
    template = yard.fleet_state().template
    yard.town.ec2.create_launch_template_version(
        LaunchTemplateId=template.id, SourceVersion="1", LaunchTemplateData={"ImageId": yard.image("other")}
    )
    yard.town.ec2.modify_launch_template(LaunchTemplateId=template.id, DefaultVersion=str(template.latest + 1))


def other_size(yard: Yard) -> None:
    yard.town.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, MaxSize=9)


def suspended_process(yard: Yard) -> None:
    yard.town.autoscaling.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["AddToLoadBalancer"])


def no_instance_wanted(yard: Yard) -> None:
    yard.town.autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=0, DesiredCapacity=0)
    eventually(lambda: not yard.fleet_state().group.members, 20)


def killed_promotion(yard: Yard) -> None:
    killed(yard, yard.image("good"), (), 1, "StartInstanceRefresh")


def killed_traffic_shift(yard: Yard) -> None:
    killed(yard, yard.image("good"), (50, 100), 3, "ModifyListener")


def killed_commit(yard: Yard) -> None:
    killed(yard, yard.image("good"), (), 1, "ModifyLaunchTemplate")


STATES = [
    *(stopped, terminated, failing_service, deregistered_image, deleted_pointer, deleted_group),
    *(deleted_group_and_image, other_default, other_size, suspended_process, no_instance_wanted),
    *(killed_promotion, killed_traffic_shift, killed_commit),
]
ALWAYS = (terminated, failing_service, deleted_pointer, deleted_group_and_image, killed_promotion)


@pytest.mark.parametrize(
    "broken",
    [pytest.param(state, marks=() if state in ALWAYS else pytest.mark.long, id=state.__name__) for state in STATES],
)
def test_advice_leads_to_a_fleet_that_serves(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, broken: Callable[[Yard], Any]
) -> None:
    yard.resize(1)
    broken(yard)
    operator = Operator(yard.ctx, monkeypatch)
    assert operator.follow() == "", operator.output
    assert status(yard).assessment.drift == ()
    yard.at_rest(yard.running())
