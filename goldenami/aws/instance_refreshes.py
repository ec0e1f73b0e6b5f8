"""Instance refreshes: start, roll back and cancel the replacement of a group's instances.

Source: https://docs.aws.amazon.com/autoscaling/ec2/userguide/asg-instance-refresh.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goldenami.aws.errors import suppress
from goldenami.aws.session import AwsSession
from goldenami.model.auto_scaling import InstanceRefresh, RefreshPreferences

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.type_defs import InstanceRefreshTypeDef


def list_refreshes(aws: AwsSession, group: str, limit: int = 20) -> list[InstanceRefresh]:
    """Return the group's instance refreshes, the newest first."""
    response = aws.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=group, MaxRecords=limit)
    return [_refresh(refresh) for refresh in response["InstanceRefreshes"]]


def get(aws: AwsSession, group: str, refresh: str) -> InstanceRefresh:
    """Return an instance refresh by its id."""
    client = aws.client("autoscaling")
    response = client.describe_instance_refreshes(AutoScalingGroupName=group, InstanceRefreshIds=[refresh])
    return _refresh(response["InstanceRefreshes"][0])


def start(aws: AwsSession, group: str, template: str, version: int, preferences: RefreshPreferences) -> str | None:
    """Start an instance refresh to a launch template version; return its id, or None if another one is in progress.

    The version is the refresh's desired configuration, so that the group itself changes only if the refresh succeeds.
    """
    request: dict[str, Any] = {
        "MinHealthyPercentage": preferences.min_healthy,
        "MaxHealthyPercentage": preferences.max_healthy,
        "InstanceWarmup": preferences.warmup,
        "SkipMatching": True,
        "AutoRollback": preferences.auto_rollback,
        # The default waits an hour until their state is changed, and then fails.
        # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RefreshPreferences.html
        "ScaleInProtectedInstances": preferences.protected,
        "StandbyInstances": "Ignore",
    }
    if preferences.checkpoints:
        request |= {"CheckpointPercentages": list(preferences.checkpoints), "CheckpointDelay": preferences.delay}
    if preferences.bake_time:
        request["BakeTime"] = preferences.bake_time
    if preferences.alarms:
        request["AlarmSpecification"] = {"Alarms": list(preferences.alarms)}
    with suppress("InstanceRefreshInProgress"):
        return aws.client("autoscaling").start_instance_refresh(
            AutoScalingGroupName=group,
            Strategy="Rolling",
            DesiredConfiguration={"LaunchTemplate": {"LaunchTemplateId": template, "Version": str(version)}},
            Preferences=request,  # type: ignore[arg-type]
        )["InstanceRefreshId"]
    return None


def roll_back(aws: AwsSession, group: str) -> str | None:
    """Roll back the group's running refresh; return its id, or None if it has ended or is rolling back already."""
    with suppress("ActiveInstanceRefreshNotFound", "IrreversibleInstanceRefresh"):
        return aws.client("autoscaling").rollback_instance_refresh(AutoScalingGroupName=group)["InstanceRefreshId"]
    return None


def cancel(aws: AwsSession, group: str) -> str | None:
    """Cancel the group's running refresh without a rollback; return its id, or None if none is running."""
    with suppress("ActiveInstanceRefreshNotFound"):
        return aws.client("autoscaling").cancel_instance_refresh(AutoScalingGroupName=group)["InstanceRefreshId"]
    return None


def _refresh(refresh: InstanceRefreshTypeDef) -> InstanceRefresh:
    template = refresh.get("DesiredConfiguration", {}).get("LaunchTemplate", {})
    version = template.get("Version", "")
    return InstanceRefresh(
        id=refresh["InstanceRefreshId"],
        status=refresh["Status"],
        version=int(version) if version.isdigit() else None,
        percent=refresh.get("PercentageComplete", 0),
        to_update=refresh.get("InstancesToUpdate", 0),
        reason=refresh.get("StatusReason", ""),
        started=f"{refresh['StartTime']:%Y-%m-%dT%H:%M:%SZ}" if "StartTime" in refresh else "",
        ended=f"{refresh['EndTime']:%Y-%m-%dT%H:%M:%SZ}" if "EndTime" in refresh else "",
    )
