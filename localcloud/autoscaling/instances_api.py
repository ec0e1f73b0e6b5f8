"""The Auto Scaling API's actions on instances of a group: health, termination and detaching."""

from __future__ import annotations

import time
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import ASG_NAME_TAG
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

from localcloud.autoscaling import members
from localcloud.autoscaling.members import ScalingActivity
from localcloud.autoscaling.request import requested_group
from localcloud.core.overrides import replace_methods
from localcloud.elbv2 import targets


def install() -> None:
    """Replace moto's actions."""
    replace_methods(
        AutoScalingResponse,
        detach_instances,
        detach_load_balancer_target_groups,
        set_instance_health,
        terminate_instance_in_auto_scaling_group,
    )


def detach_instances(self: Any) -> Any:
    """moto leaves the instances registered with the target groups.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DetachInstances.html"""
    group, activities = requested_group(self), []
    decrement = self._get_bool_param("ShouldDecrementDesiredCapacity", False)
    for instance_id in self._get_param("InstanceIds", []):
        member = get_member(group, instance_id)
        cause = f"instance {instance_id} was detached in response to a user request."
        activity = ScalingActivity(group, f"Detaching EC2 instance: {instance_id}", cause)
        activity.end()
        activities.append(activity)
        members.remove(group, member)
        group.ec2_backend.delete_tags([instance_id], {ASG_NAME_TAG: group.name})
        if decrement:
            decrement_capacity(group)
    return ActionResult({"Activities": activities})


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


def decrement_capacity(group: Any) -> None:
    """Decrement the desired capacity. Raises AWS's error at the minimum size."""
    if group.desired_capacity <= group.min_size:
        raise ValidationError(
            f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without replacement "
            "will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or "
            "lower group's min size."
        )
    group.desired_capacity -= 1
