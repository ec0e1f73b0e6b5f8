"""Instances of a group in Standby, protected, held by lifecycle hooks, attached and detached: as AWS allows it, and no more."""

from __future__ import annotations

import time
from typing import Any

import pytest

from localcloud.autoscaling import lifecycle_hooks
from tests.localcloud.autoscaling.test_groups import raises
from tests.support.cloud_server import eventually

LAUNCHING, TERMINATING = lifecycle_hooks.TRANSITIONS.values()


def states(cloud: Any) -> dict[str, str]:
    return {one["InstanceId"]: one["LifecycleState"] for one in cloud.group()["Instances"]}


def hook(cloud: Any, transition: str, **more: Any) -> None:
    cloud.autoscaling.put_lifecycle_hook(
        AutoScalingGroupName="web", LifecycleHookName="wait", LifecycleTransition=transition, **more
    )


def complete(cloud: Any, instance: str, result: str = "CONTINUE") -> None:
    cloud.autoscaling.complete_lifecycle_action(
        AutoScalingGroupName="web", LifecycleHookName="wait", LifecycleActionResult=result, InstanceId=instance
    )


def fleet(cloud: Any, size: int, **more: Any) -> list[str]:
    cloud.make_group(cloud.template(cloud.public_ami()), size, **more)
    return list(cloud.in_service(size))


def test_standby_keeps_to_the_sizes_and_leaves_the_load_balancer(fleet_cloud: Any) -> None:
    api, arn = fleet_cloud.autoscaling, fleet_cloud.make_balancer()
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.bake("v1")), 2, TargetGroupARNs=[arn])
    first, _ = fleet_cloud.in_service(2)
    fleet_cloud.healthy(arn, 2)
    api.update_auto_scaling_group(AutoScalingGroupName="web", MinSize=2)
    asked = {"AutoScalingGroupName": "web", "InstanceIds": [first]}
    with raises("ValidationError", "min size"):
        api.enter_standby(**asked, ShouldDecrementDesiredCapacity=True)
    assert set(states(fleet_cloud).values()) == {"InService"}
    with raises("ValidationError", "not in Standby"):
        api.exit_standby(**asked)
    api.update_auto_scaling_group(AutoScalingGroupName="web", MinSize=0)
    api.enter_standby(**asked, ShouldDecrementDesiredCapacity=True)
    assert states(fleet_cloud)[first] == "EnteringStandby"
    eventually(lambda: states(fleet_cloud)[first] == "Standby")
    assert (fleet_cloud.group()["DesiredCapacity"], first in fleet_cloud.health(arn)) == (1, False)
    with raises("ValidationError", "not in InService"):
        api.enter_standby(**asked, ShouldDecrementDesiredCapacity=True)
    api.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=1)
    with raises("ValidationError", "maximum size 1"):
        api.exit_standby(**asked)
    api.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=2)
    api.exit_standby(**asked)
    fleet_cloud.in_service(2)
    fleet_cloud.healthy(arn, 2)


def test_standby_without_decrement_is_replaced(fleet_cloud: Any) -> None:
    (first,) = fleet(fleet_cloud, 1)
    fleet_cloud.autoscaling.enter_standby(
        AutoScalingGroupName="web", InstanceIds=[first], ShouldDecrementDesiredCapacity=False
    )
    eventually(lambda: sorted(states(fleet_cloud).values()) == ["InService", "Standby"])


def test_protection_is_for_members_in_service_or_standby(fleet_cloud: Any) -> None:
    api = fleet_cloud.autoscaling
    (first,) = fleet(fleet_cloud, 1)
    other = fleet_cloud.run()
    asked = {"AutoScalingGroupName": "web", "ProtectedFromScaleIn": True}
    with raises("ValidationError", "not part of"):
        api.set_instance_protection(InstanceIds=[other], **asked)
    hook(fleet_cloud, LAUNCHING)
    fleet_cloud.wait(other, "running")
    api.attach_instances(AutoScalingGroupName="web", InstanceIds=[other])
    eventually(lambda: states(fleet_cloud)[other] == "Pending:Wait")
    with raises("ValidationError", "not in InService or EnteringStandby or Standby"):
        api.set_instance_protection(InstanceIds=[other], **asked)
    api.set_instance_protection(InstanceIds=[first], **asked)
    api.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=1)
    eventually(lambda: list(states(fleet_cloud)) == [first])


def test_attached_instances_count_on_the_desired_capacity(fleet_cloud: Any) -> None:
    api = fleet_cloud.autoscaling
    (first,) = fleet(fleet_cloud, 1)
    other = fleet_cloud.run()
    fleet_cloud.wait(other, "running")
    asked = {"AutoScalingGroupName": "web", "InstanceIds": [first], "ShouldDecrementDesiredCapacity": True}
    api.enter_standby(**asked)
    eventually(lambda: states(fleet_cloud)[first] == "Standby")
    api.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=0)
    with raises("ValidationError", "exceeds the maximum size 0"):
        api.attach_instances(AutoScalingGroupName="web", InstanceIds=[other])
    api.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=2)
    api.attach_instances(AutoScalingGroupName="web", InstanceIds=[other])
    with raises("ValidationError", "already part"):
        api.attach_instances(AutoScalingGroupName="web", InstanceIds=[other])
    assert fleet_cloud.group()["DesiredCapacity"] == 1, "the one in Standby does not count"
    eventually(lambda: states(fleet_cloud) == {first: "Standby", other: "InService"})
    api.update_auto_scaling_group(AutoScalingGroupName="web", MinSize=1)
    with raises("ValidationError", "min size"):
        api.detach_instances(**{**asked, "InstanceIds": [other]})
    assert other in states(fleet_cloud), "nothing was changed"


def test_launch_hook_holds_a_member_until_it_is_completed(fleet_cloud: Any) -> None:
    fleet(fleet_cloud, 0)
    hook(fleet_cloud, LAUNCHING)
    fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=1)
    eventually(lambda: list(states(fleet_cloud).values()) == ["Pending:Wait"])
    (first,) = states(fleet_cloud)
    time.sleep(0.3)
    assert states(fleet_cloud) == {first: "Pending:Wait"}, "no other one is launched"
    fleet_cloud.autoscaling.record_lifecycle_action_heartbeat(
        AutoScalingGroupName="web", LifecycleHookName="wait", InstanceId=first
    )
    complete(fleet_cloud, first)
    fleet_cloud.in_service(1)
    with raises("ValidationError", "No active Lifecycle Action found"):
        complete(fleet_cloud, first)


@pytest.mark.parametrize("result", lifecycle_hooks.RESULTS)
def test_launch_hook_times_out_with_its_default_result(
    fleet_cloud: Any, monkeypatch: pytest.MonkeyPatch, result: str
) -> None:
    (first,) = fleet(fleet_cloud, 1)
    hook(fleet_cloud, LAUNCHING, HeartbeatTimeout=30, DefaultResult=result)
    wait = lifecycle_hooks.HookWait.__init__

    def short(self: Any, hook: Any, now: float) -> None:
        wait(self, hook, now)
        self.until = now + 0.3

    monkeypatch.setattr(lifecycle_hooks.HookWait, "__init__", short)
    fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=2)
    eventually(lambda: len(states(fleet_cloud)) == 2)
    (second,) = set(states(fleet_cloud)) - {first}
    if result == "CONTINUE":
        assert second in fleet_cloud.in_service(2)
    else:
        fleet_cloud.wait(second, "terminated")


def test_terminate_hook_holds_a_member_after_it_was_drained(fleet_cloud: Any) -> None:
    (first,) = fleet(fleet_cloud, 1)
    hook(fleet_cloud, TERMINATING)
    fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=0)
    eventually(lambda: states(fleet_cloud) == {first: "Terminating:Wait"})
    assert fleet_cloud.instance(first)["State"]["Name"] == "running"
    complete(fleet_cloud, first, "ABANDON")
    eventually(lambda: not states(fleet_cloud))
    with raises("ValidationError", "between 30 and 7200"):
        hook(fleet_cloud, TERMINATING, HeartbeatTimeout=1)
    with raises("ValidationError", "transition"):
        hook(fleet_cloud, "autoscaling:EC2_INSTANCE_REBOOTING")


def test_resumed_load_balancing_does_not_register_who_came_meanwhile(fleet_cloud: Any) -> None:
    arn = fleet_cloud.make_balancer()
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.bake("v1")), 0, TargetGroupARNs=[arn])
    asked = {"AutoScalingGroupName": "web", "ScalingProcesses": ["AddToLoadBalancer"]}
    fleet_cloud.autoscaling.suspend_processes(**asked)
    fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=1)
    (first,) = fleet_cloud.in_service(1)
    fleet_cloud.autoscaling.resume_processes(**asked)
    fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=2)
    (second,) = set(fleet_cloud.in_service(2)) - {first}
    eventually(lambda: list(fleet_cloud.health(arn)) == [second])
    with raises("ValidationError", "Unknown scaling process"):
        fleet_cloud.autoscaling.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["Lunch"])
