"""Auto Scaling groups: what a group is set to, its instances as EC2 and the balancer see them, what it did lately.

Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AutoScalingGroup.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from goldenami.aws import load_balancers
from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import mapping
from goldenami.errors import AwsError
from goldenami.model.fleet import AutoScalingGroup, GroupInstance
from goldenami.tools.clock import Clock, poll

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef


# The tag of an instance that was changed in place and is no longer what its image says.
SETTING_NAMES = "goldenami:drifted"


@dataclass(frozen=True)
class Activity:
    """Something that the group did: launched, terminated, or failed to."""

    started: str
    status: str
    description: str
    cause: str
    message: str = ""


def get(aws: AwsSession, name: str) -> AutoScalingGroup | None:
    """A group with its instances, or None when there is none of this name."""
    found = aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if not found:
        return None
    group = found[0]
    template = _template(group)
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
    )


def create(aws: AwsSession, request: Mapping[str, Any]) -> bool:
    """Make a group; False when there is one of that name already."""
    try:
        aws.client("autoscaling").create_auto_scaling_group(**request)
    except ClientError as error:
        if code(error) == "AlreadyExists":
            return False
        raise
    return True


def update(aws: AwsSession, request: Mapping[str, Any]) -> None:
    """Change what a group is set to."""
    aws.client("autoscaling").update_auto_scaling_group(**request)


def delete(aws: AwsSession, clock: Clock, name: str, timeout: float = 900) -> None:
    """Delete a group with its instances, and wait until it is gone.

    Raises:
        AwsError: It is still there when the time (seconds) is up.
    """
    try:
        aws.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    except ClientError as error:
        # AWS answers ValidationError for a group that is gone; what else it may mean shows below.
        if code(error) not in ("ValidationError", "ScalingActivityInProgress"):
            raise
    for _ in poll(clock, timeout=timeout, every=2):
        if get(aws, name) is None:
            return
    raise AwsError(f"{name} is still being deleted", next="./invoke fleet.show")


def activities(aws: AwsSession, name: str, most: int = 20) -> list[Activity]:
    """What the group did lately, the newest first."""
    found = aws.client("autoscaling").describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=most)
    return [
        Activity(
            started=f"{a['StartTime']:%Y-%m-%dT%H:%M:%SZ}",
            status=a["StatusCode"],
            description=a.get("Description", ""),
            cause=a.get("Cause", ""),
            message=a.get("StatusMessage", ""),
        )
        for a in found["Activities"]
    ]


def terminate(aws: AwsSession, instance: str, *, decrement: bool) -> None:
    """Take an instance of the group away; the group launches another one unless its size goes down with it."""
    aws.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=instance, ShouldDecrementDesiredCapacity=decrement
    )


def suspend(aws: AwsSession, name: str, processes: Sequence[str]) -> None:
    """Keep a group from doing some things by itself."""
    if processes:  # without a list, all of them would be meant
        aws.client("autoscaling").suspend_processes(AutoScalingGroupName=name, ScalingProcesses=list(processes))


def resume(aws: AwsSession, name: str, processes: Sequence[str]) -> None:
    """Let a group do these things by itself again."""
    if processes:
        aws.client("autoscaling").resume_processes(AutoScalingGroupName=name, ScalingProcesses=list(processes))


def attach(aws: AwsSession, name: str, instance: str) -> None:
    """Put a running instance into a group and behind its balancer; the desired size goes up with it.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AttachInstances.html
    """
    aws.client("autoscaling").attach_instances(AutoScalingGroupName=name, InstanceIds=[instance])


def detach(aws: AwsSession, name: str, instance: str) -> None:
    """Take an instance out of a group and from behind its balancer; the desired size goes down with it.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DetachInstances.html
    """
    aws.client("autoscaling").detach_instances(
        AutoScalingGroupName=name, InstanceIds=[instance], ShouldDecrementDesiredCapacity=True
    )


def _template(group: AutoScalingGroupTypeDef) -> Mapping[str, Any]:
    if "LaunchTemplate" in group:
        return group["LaunchTemplate"]
    policy: Mapping[str, Any] = group.get("MixedInstancesPolicy", {})
    found: Mapping[str, Any] = policy.get("LaunchTemplate", {}).get("LaunchTemplateSpecification", {})
    return found


def _members(aws: AwsSession, group: AutoScalingGroupTypeDef) -> tuple[GroupInstance, ...]:
    listed = group.get("Instances", [])
    seen = _machines(aws, [i["InstanceId"] for i in listed])
    targets = _targets(aws, group.get("TargetGroupARNs", []))
    members = []
    for instance in listed:
        machine = seen.get(instance["InstanceId"], {})
        # An instance that was attached was not launched by the group; EC2 still knows what it was launched from.
        # https://docs.aws.amazon.com/autoscaling/ec2/userguide/use-launch-templates-tagging.html
        tags = mapping(machine.get("Tags", []))
        version = instance.get("LaunchTemplate", {}).get("Version") or tags.get("aws:ec2launchtemplate:version", "")
        launched = machine.get("LaunchTime")
        target = targets.get(instance["InstanceId"], "unused") if targets is not None else ""
        members.append(
            GroupInstance(
                id=instance["InstanceId"],
                version=int(version) if version.isdigit() else 0,
                lifecycle=instance["LifecycleState"],
                healthy=instance["HealthStatus"].lower() == "healthy",
                zone=instance.get("AvailabilityZone", ""),
                image=machine.get("ImageId", ""),
                address=machine.get("PublicIpAddress") or machine.get("PrivateIpAddress", ""),
                state=machine.get("State", {}).get("Name", ""),
                target=target,
                launched=f"{launched:%Y-%m-%dT%H:%M:%SZ}" if launched else "",
                protected=instance.get("ProtectedFromScaleIn", False),
                drifted=tags.get(SETTING_NAMES, ""),
            )
        )
    return tuple(members)


def _machines(aws: AwsSession, ids: Sequence[str]) -> dict[str, Any]:
    if not ids:
        return {}
    # A filter instead of ids: an instance that EC2 does not know yet is left out instead of an error.
    pages = (
        aws.client("ec2")
        .get_paginator("describe_instances")
        .paginate(Filters=[{"Name": "instance-id", "Values": list(ids)}])
    )
    return {i["InstanceId"]: i for page in pages for r in page["Reservations"] for i in r["Instances"]}


def _targets(aws: AwsSession, arns: Iterable[str]) -> dict[str, str] | None:
    """The worst state of each instance over the group's target groups; None where there is none."""
    found: dict[str, str] = {}
    known = False
    for arn in arns:
        known = True
        for target in load_balancers.health(aws, arn):
            if found.get(target.id, "healthy") == "healthy":
                found[target.id] = target.state
    return found if known else None
