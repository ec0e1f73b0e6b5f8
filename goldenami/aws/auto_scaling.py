"""Auto Scaling groups: their settings, their instances as EC2 and the load balancer report them, their activities.

Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AutoScalingGroup.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from goldenami.aws import load_balancers
from goldenami.aws.errors import code, suppress
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import mapping
from goldenami.errors import AwsError
from goldenami.model.auto_scaling import LifecycleHook, ScheduledAction
from goldenami.model.fleet import AutoScalingGroup, GroupInstance
from goldenami.tools.clock import Clock, wait_until

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef

# The tag of an instance that was changed in place and differs from its image.
DRIFTED_TAG = "goldenami:drifted"


@dataclass(frozen=True)
class Activity:
    """A scaling activity: the group launched or terminated an instance, or failed to."""

    started: str
    status: str
    description: str
    cause: str
    message: str = ""


def get(aws: AwsSession, name: str) -> AutoScalingGroup | None:
    """Return a group with its instances, or None if it does not exist."""
    groups = aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not groups:
        return None
    group, template = groups[0], _template(groups[0])
    return AutoScalingGroup(
        name=group["AutoScalingGroupName"],
        template_id=template.get("LaunchTemplateId", ""),
        version=template.get("Version", "$Default"),
        min=group["MinSize"],
        max=group["MaxSize"],
        desired=group["DesiredCapacity"],
        members=_members(aws, group),
        target_groups=tuple(group.get("TargetGroupARNs", [])),
        grace=group.get("HealthCheckGracePeriod", 0),
        health_check=group.get("HealthCheckType", "EC2"),
        suspended=tuple(p["ProcessName"] for p in group.get("SuspendedProcesses", [])),
        zones=tuple(group.get("AvailabilityZones", [])),
        mixed="MixedInstancesPolicy" in group,
        warm_pool="WarmPoolConfiguration" in group,
        protects_new=group.get("NewInstancesProtectedFromScaleIn", False),
    )


def create(aws: AwsSession, request: Mapping[str, Any]) -> bool:
    """Create a group; return False if one of this name exists."""
    with suppress("AlreadyExists"):
        aws.client("autoscaling").create_auto_scaling_group(**request)
        return True
    return False


def update(aws: AwsSession, request: Mapping[str, Any]) -> None:
    """Update a group's settings."""
    aws.client("autoscaling").update_auto_scaling_group(**request)


def delete(aws: AwsSession, clock: Clock, name: str, timeout: float = 900) -> None:
    """Delete a group with its instances, and wait until it is deleted.

    Raises:
        AwsError: The group still exists after `timeout` seconds.
    """
    # ValidationError is the answer for a group that does not exist; another cause of it shows below.
    with suppress("ValidationError", "ScalingActivityInProgress"):
        aws.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    wait_until(
        clock,
        lambda: get(aws, name),
        lambda group: group is None,
        timeout=timeout,
        every=2,
        on_timeout=lambda _: AwsError(
            f"the Auto Scaling group {name} was not deleted within {timeout:.0f} s", next="./invoke fleet.show"
        ),
    )


def list_activities(aws: AwsSession, name: str, limit: int = 20) -> list[Activity]:
    """Return the group's latest activities, the newest first."""
    response = aws.client("autoscaling").describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=limit)
    return [
        Activity(
            started=f"{a['StartTime']:%Y-%m-%dT%H:%M:%SZ}",
            status=a["StatusCode"],
            description=a.get("Description", ""),
            cause=a.get("Cause", ""),
            message=a.get("StatusMessage", ""),
        )
        for a in response["Activities"]
    ]


def terminate(aws: AwsSession, instance: str, *, decrement: bool) -> None:
    """Terminate an instance of a group; the group replaces it unless its desired capacity is decremented."""
    aws.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=instance, ShouldDecrementDesiredCapacity=decrement
    )


def suspend(aws: AwsSession, name: str, processes: Sequence[str]) -> None:
    """Suspend scaling processes of a group."""
    if processes:  # an empty list would suspend all of them
        aws.client("autoscaling").suspend_processes(AutoScalingGroupName=name, ScalingProcesses=list(processes))


def resume(aws: AwsSession, name: str, processes: Sequence[str]) -> None:
    """Resume scaling processes of a group."""
    if processes:
        aws.client("autoscaling").resume_processes(AutoScalingGroupName=name, ScalingProcesses=list(processes))


def attach(aws: AwsSession, name: str, instance: str) -> None:
    """Attach a running instance to a group and its target groups; the desired capacity is incremented.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AttachInstances.html
    """
    aws.client("autoscaling").attach_instances(AutoScalingGroupName=name, InstanceIds=[instance])


def detach(aws: AwsSession, name: str, instance: str, *, decrement: bool) -> None:
    """Detach an instance from a group and its target groups; the group replaces it unless its desired capacity is decremented.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DetachInstances.html
    """
    aws.client("autoscaling").detach_instances(
        AutoScalingGroupName=name, InstanceIds=[instance], ShouldDecrementDesiredCapacity=decrement
    )


def protect(aws: AwsSession, name: str, members: Sequence[str], *, protected: bool = True) -> None:
    """Protect instances from scale-in, or end that; skip those that are no longer in service or in Standby.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceProtection.html
    """
    for member in members:
        try:
            aws.client("autoscaling").set_instance_protection(
                AutoScalingGroupName=name, InstanceIds=[member], ProtectedFromScaleIn=protected
            )
        except ClientError as error:
            group = get(aws, name) if code(error) == "ValidationError" else None
            if group is None or any(m.id == member and m.can_be_protected for m in group.members):
                raise


def list_hooks(aws: AwsSession, name: str) -> tuple[LifecycleHook, ...]:
    """Return the group's lifecycle hooks."""
    hooks = aws.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
    return tuple(
        LifecycleHook(
            name=hook["LifecycleHookName"],
            launching=hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_LAUNCHING",
            timeout=hook.get("HeartbeatTimeout", 3600),
            result=hook.get("DefaultResult", "ABANDON"),
        )
        for hook in hooks
    )


def list_schedules(aws: AwsSession, name: str) -> tuple[ScheduledAction, ...]:
    """Return the group's scheduled actions."""
    response = aws.client("autoscaling").describe_scheduled_actions(AutoScalingGroupName=name)
    return tuple(
        ScheduledAction(a["ScheduledActionName"], a.get("MinSize"), a.get("MaxSize"), a.get("DesiredCapacity"))
        for a in response["ScheduledUpdateGroupActions"]
    )


def _template(group: AutoScalingGroupTypeDef) -> Mapping[str, Any]:
    if "LaunchTemplate" in group:
        return group["LaunchTemplate"]
    policy: Mapping[str, Any] = group.get("MixedInstancesPolicy", {})
    specification: Mapping[str, Any] = policy.get("LaunchTemplate", {}).get("LaunchTemplateSpecification", {})
    return specification


def _members(aws: AwsSession, group: AutoScalingGroupTypeDef) -> tuple[GroupInstance, ...]:
    instances = group.get("Instances", [])
    descriptions = _describe_instances(aws, [i["InstanceId"] for i in instances])
    targets = _target_states(aws, group.get("TargetGroupARNs", []))
    members = []
    for instance in instances:
        description = descriptions.get(instance["InstanceId"], {})
        # The group does not know the launch template version of an attached instance; EC2 keeps it in a tag.
        # https://docs.aws.amazon.com/autoscaling/ec2/userguide/use-launch-templates-tagging.html
        tags = mapping(description.get("Tags", []))
        version = instance.get("LaunchTemplate", {}).get("Version") or tags.get("aws:ec2launchtemplate:version", "")
        launched = description.get("LaunchTime")
        target = targets.get(instance["InstanceId"], "unused") if targets is not None else ""
        members.append(
            GroupInstance(
                id=instance["InstanceId"],
                version=int(version) if version.isdigit() else 0,
                lifecycle=instance["LifecycleState"],
                healthy=instance["HealthStatus"].lower() == "healthy",
                zone=instance.get("AvailabilityZone", ""),
                image=description.get("ImageId", ""),
                address=description.get("PublicIpAddress") or description.get("PrivateIpAddress", ""),
                state=description.get("State", {}).get("Name", ""),
                target=target,
                launched=f"{launched:%Y-%m-%dT%H:%M:%SZ}" if launched else "",
                protected=instance.get("ProtectedFromScaleIn", False),
                drifted=tags.get(DRIFTED_TAG, ""),
            )
        )
    return tuple(members)


def _describe_instances(aws: AwsSession, ids: Sequence[str]) -> dict[str, Any]:
    if not ids:
        return {}
    # A filter instead of ids: an instance that EC2 does not know yet is left out instead of causing an error.
    paginator = aws.client("ec2").get_paginator("describe_instances")
    pages = paginator.paginate(Filters=[{"Name": "instance-id", "Values": list(ids)}])
    return {i["InstanceId"]: i for page in pages for r in page["Reservations"] for i in r["Instances"]}


def _target_states(aws: AwsSession, arns: Sequence[str]) -> dict[str, str] | None:
    """Return the worst state of each instance over the group's target groups; None if the group has none."""
    if not arns:
        return None
    states: dict[str, str] = {}
    for arn in arns:
        for target in load_balancers.list_targets(aws, arn):
            if states.get(target.id, "healthy") == "healthy":
                states[target.id] = target.state
    return states
