"""The Auto Scaling API's actions on instances of a group: health, protection, standby, termination, attaching, detaching."""

from __future__ import annotations

import time
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import ASG_NAME_TAG
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

from localcloud.autoscaling import members
from localcloud.autoscaling.members import GroupMember, ScalingActivity
from localcloud.autoscaling.request import requested_group
from localcloud.core.overrides import replace_methods
from localcloud.elbv2 import targets


def install() -> None:
    """Replace moto's actions."""
    replace_methods(
        AutoScalingResponse,
        attach_instances,
        detach_instances,
        detach_load_balancer_target_groups,
        enter_standby,
        exit_standby,
        set_instance_health,
        set_instance_protection,
        terminate_instance_in_auto_scaling_group,
    )


def attach_instances(self: Any) -> Any:
    """moto attaches instances that do not run or are members already, and sets a wrong desired capacity.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AttachInstances.html"""
    group, ec2 = requested_group(self), self.autoscaling_backend.ec2_backend
    instances = [ec2.get_instance(instance_id) for instance_id in self._get_param("InstanceIds", [])]
    for instance in instances:
        for other in self.autoscaling_backend.autoscaling_groups.values():
            if any(member.instance_id == instance.id for member in other.instance_states):
                raise ValidationError(f"Instance {instance.id} is already part of AutoScalingGroup:{other.name}.")
        if instance.state != "running":
            raise ValidationError(f"Instance {instance.id} is not in correct state.")
    desired = int(group.desired_capacity) + len(instances)
    if desired > group.max_size:
        raise ValidationError(
            f"The new desired capacity {desired} exceeds the maximum size {group.max_size} of the AutoScalingGroup."
        )
    for instance in instances:
        group.instance_states.append(GroupMember(group, instance, None))
        ec2.create_tags([instance.id], {ASG_NAME_TAG: group.name})
    group.desired_capacity = desired
    return EmptyResult()


def detach_instances(self: Any) -> Any:
    """moto leaves the instances registered with the target groups.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DetachInstances.html"""
    group, detached = requested_members(self, "InService", "Standby")
    if self._get_bool_param("ShouldDecrementDesiredCapacity", False):
        decrement_capacity(group, len(detached))
    activities = []
    for member in detached:
        cause = f"instance {member.instance_id} was detached in response to a user request."
        activities.append(ScalingActivity(group, f"Detaching EC2 instance: {member.instance_id}", cause))
        activities[-1].end()
        members.remove(group, member)
        group.ec2_backend.delete_tags([member.instance_id], {ASG_NAME_TAG: group.name})
    return ActionResult({"Activities": activities})


def enter_standby(self: Any) -> Any:
    """moto checks neither the state nor the minimum size, and does not drain.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_EnterStandby.html"""
    group, entering = requested_members(self, "InService")
    if self._get_bool_param("ShouldDecrementDesiredCapacity", False):
        decrement_capacity(group, len(entering))
    for member in entering:
        member.lifecycle_state = "EnteringStandby"
        for target_group in members.target_groups(group):
            targets.drain(target_group, member.instance_id)
    return ActionResult({"Activities": [_moved(group, member, "to") for member in entering]})


def exit_standby(self: Any) -> Any:
    """moto checks neither the state nor the maximum size. The instance is Pending first, and launch hooks apply.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_ExitStandby.html"""
    group, exiting = requested_members(self, "Standby")
    desired = int(group.desired_capacity) + len(exiting)
    if desired > group.max_size:
        raise ValidationError(f"The new desired capacity {desired} exceeds the maximum size {group.max_size}.")
    group.desired_capacity = desired
    for member in exiting:
        member.lifecycle_state = "Pending"
    return ActionResult({"Activities": [_moved(group, member, "out of") for member in exiting]})


def _moved(group: Any, member: Any, direction: str) -> ScalingActivity:
    cause = f"instance {member.instance_id} was moved {direction} standby in response to a user request."
    activity = ScalingActivity(group, f"Moving EC2 instance {direction} Standby: {member.instance_id}", cause)
    activity.end()
    return activity


def set_instance_protection(self: Any) -> Any:
    """moto ignores instances of other groups, and any state.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceProtection.html"""
    _, protected = requested_members(self, "InService", "EnteringStandby", "Standby")
    for member in protected:
        member.protected_from_scale_in = self._get_bool_param("ProtectedFromScaleIn", False)
    return ActionResult({})


def detach_load_balancer_target_groups(self: Any) -> Any:
    """moto rejects the request if an instance is not registered.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DetachLoadBalancerTargetGroups.html"""
    group = requested_group(self)
    for arn in self._get_param("TargetGroupARNs", []):
        if arn in group.target_group_arns:
            for target_group in members.target_groups(group):
                for member in group.instance_states if target_group.arn == arn else []:
                    targets.drain(target_group, member.instance_id)
            group.target_group_arns.remove(arn)
    return EmptyResult()


def set_instance_health(self: Any) -> Any:
    """moto replaces no unhealthy instance, and ignores the grace period.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceHealth.html"""
    status = self._get_param("HealthStatus")
    if status not in ("Healthy", "Unhealthy"):
        raise ValidationError(f"Valid instance health states are: [Healthy, Unhealthy], got {status}")
    member = find_member(self, self._get_param("InstanceId"))
    respect = self._get_bool_param("ShouldRespectGracePeriod", True)
    if status == "Unhealthy" and respect and member.in_grace_period(time.time()):
        return EmptyResult()
    member.health_status, member.unhealthy_cause = status, "a user health-check"
    return EmptyResult()


def terminate_instance_in_auto_scaling_group(self: Any) -> Any:
    """moto terminates at once, without draining.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_TerminateInstanceInAutoScalingGroup.html"""
    member = find_member(self, self._get_param("InstanceId"))
    group, cause = member.auto_scaling_group, f"instance {member.instance_id} was taken out of service in response to "
    if self._get_bool_param("ShouldDecrementDesiredCapacity", False):
        before = group.desired_capacity
        decrement_capacity(group)
        cause += f"a user request, shrinking the capacity from {before} to {group.desired_capacity}."
    else:
        cause += "a user request."
    return ActionResult({"Activity": members.terminate(group, member, cause)})


def requested_members(response: Any, *states: str) -> tuple[Any, list[Any]]:
    """Return the request's group and instances. Raises AWS's error for an instance in none of these states."""
    group = requested_group(response)
    found = [get_member(group, instance_id) for instance_id in response._get_param("InstanceIds", [])]
    for member in found:
        if member.lifecycle_state not in states:
            raise ValidationError(f"The instance {member.instance_id} is not in {' or '.join(states)}.")
    return group, found


def get_member(group: Any, instance_id: str) -> Any:
    """Return the group's member. Raises AWS's error for another instance."""
    members.ensure_fields(group)
    for member in group.instance_states:
        if member.instance_id == instance_id:
            return member
    raise ValidationError(f"The instance {instance_id} is not part of Auto Scaling group {group.name}.")


def find_member(response: Any, instance_id: str) -> Any:
    """Return the member of any group. Raises AWS's error for an instance without a group."""
    for group in response.autoscaling_backend.autoscaling_groups.values():
        for member in group.instance_states:
            if member.instance_id == instance_id:
                return get_member(group, instance_id)
    raise ValidationError(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")


def decrement_capacity(group: Any, count: int = 1) -> None:
    """Decrement the desired capacity. Raises AWS's error at the minimum size."""
    if group.desired_capacity - count < group.min_size:
        raise ValidationError(
            f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without replacement "
            "will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or "
            "lower group's min size."
        )
    group.desired_capacity -= count
