"""Instance refreshes: renew a group's instances step by step, and take that back.

Source: https://docs.aws.amazon.com/autoscaling/ec2/userguide/asg-instance-refresh.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.model.fleet import InstanceRefresh, RefreshPreferences

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.type_defs import InstanceRefreshTypeDef


def list_refreshes(aws: AwsSession, group: str, limit: int = 20) -> list[InstanceRefresh]:
    """The group's instance refreshes, the newest first."""
    found = aws.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=group, MaxRecords=limit)
    return [_refresh(one) for one in found["InstanceRefreshes"]]


def get(aws: AwsSession, group: str, refresh: str) -> InstanceRefresh:
    """One of them by its id."""
    found = aws.client("autoscaling").describe_instance_refreshes(
        AutoScalingGroupName=group, InstanceRefreshIds=[refresh]
    )
    return _refresh(found["InstanceRefreshes"][0])


def start(aws: AwsSession, group: str, template: str, version: int, preferences: RefreshPreferences) -> str | None:
    """Start an instance refresh to a numbered version of a launch template; returns its id.

    The version goes along as the desired configuration, so that the group itself changes only when all went well. None
    when another refresh is under way.
    """
    preferences: dict[str, Any] = {
        "MinHealthyPercentage": preferences.min_healthy,
        "MaxHealthyPercentage": preferences.max_healthy,
        "InstanceWarmup": preferences.warmup,
        "SkipMatching": True,
        "AutoRollback": preferences.auto_rollback,
        "ScaleInProtectedInstances": "Ignore",
        "StandbyInstances": "Ignore",
    }
    if preferences.checkpoints:
        preferences |= {"CheckpointPercentages": list(preferences.checkpoints), "CheckpointDelay": preferences.delay}
    if preferences.bake_time:
        preferences["BakeTime"] = preferences.bake_time
    if preferences.alarms:
        preferences["AlarmSpecification"] = {"Alarms": list(preferences.alarms)}
    try:
        answer = aws.client("autoscaling").start_instance_refresh(
            AutoScalingGroupName=group,
            Strategy="Rolling",
            DesiredConfiguration={"LaunchTemplate": {"LaunchTemplateId": template, "Version": str(version)}},
            Preferences=preferences,  # type: ignore[arg-type]
        )
    except ClientError as error:
        if code(error) == "InstanceRefreshInProgress":
            return None
        raise
    return answer["InstanceRefreshId"]


def roll_back(aws: AwsSession, group: str) -> str | None:
    """Take the group's running refresh back; returns its id, or None when AWS has nothing that it could take back.

    Nothing to take back means that the refresh has ended in the meantime, or is rolling back already.
    """
    try:
        return aws.client("autoscaling").rollback_instance_refresh(AutoScalingGroupName=group)["InstanceRefreshId"]
    except ClientError as error:
        if code(error) in ("ActiveInstanceRefreshNotFound", "IrreversibleInstanceRefresh"):
            return None
        raise


def cancel(aws: AwsSession, group: str) -> str | None:
    """Stop the group's running refresh where it is; returns its id, or None when none runs."""
    try:
        return aws.client("autoscaling").cancel_instance_refresh(AutoScalingGroupName=group)["InstanceRefreshId"]
    except ClientError as error:
        if code(error) == "ActiveInstanceRefreshNotFound":
            return None
        raise


def _refresh(found: InstanceRefreshTypeDef) -> InstanceRefresh:
    template = found.get("DesiredConfiguration", {}).get("LaunchTemplate", {})
    version = template.get("Version", "")
    return InstanceRefresh(
        id=found["InstanceRefreshId"],
        status=found["Status"],
        version=int(version) if version.isdigit() else None,
        percent=found.get("PercentageComplete", 0),
        to_update=found.get("InstancesToUpdate", 0),
        reason=found.get("StatusReason", ""),
        started=f"{found['StartTime']:%Y-%m-%dT%H:%M:%SZ}" if "StartTime" in found else "",
        ended=f"{found['EndTime']:%Y-%m-%dT%H:%M:%SZ}" if "EndTime" in found else "",
    )
