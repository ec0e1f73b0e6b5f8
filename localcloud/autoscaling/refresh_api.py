"""The instance refresh actions of the Auto Scaling API, which moto lacks.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/asg-instance-refresh.html
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_StartInstanceRefresh.html
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeInstanceRefreshes.html
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CancelInstanceRefresh.html
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RollbackInstanceRefresh.html"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.core.utils import utcnow

from localcloud.autoscaling import launch_spec, refresh as autoscaling_refresh
from localcloud.autoscaling.launch import check_launchable
from localcloud.autoscaling.request import paginated_result, requested_group
from localcloud.core.cloud import Cloud
from localcloud.core.overrides import replace_methods

ACTIVE = ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")
BEHAVIOURS = {
    "ScaleInProtectedInstances": ("Refresh", "Ignore", "Wait"),
    "StandbyInstances": ("Terminate", "Ignore", "Wait"),
}


class InstanceRefresh:
    """One instance refresh: attributes with the names of the API, and the state of its steps."""

    def __init__(self, group: Any, desired: dict[str, Any] | None, preferences: dict[str, Any]) -> None:
        self.instance_refresh_id = str(uuid.uuid4())
        self.auto_scaling_group_name = group.name
        self.status = "Pending"
        self.status_reason: str | None = None
        self.start_time = utcnow()
        self.end_time: datetime | None = None
        self.percentage_complete = 0
        self.instances_to_update = 0
        self.preferences = preferences
        self.desired_configuration = desired
        self.strategy = "Rolling"
        self.rollback_details: dict[str, Any] | None = None
        template = (desired or {}).get("LaunchTemplate") or launch_spec.group_specification(group)
        self.specification = launch_spec.resolve_version(group, template)
        self.matching_ids: list[str] = []  # instances that match already and are not replaced
        self.stuck_since: float | None = None
        self.checkpoint = 0
        self.paused_until: float | None = None
        self.baking_until: float | None = None
        self.wait_for_transitioning = True
        self.most_updated, self.failure = 0, ""  # maximum of updated members so far; the last failed replacement

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE

    def end(self, status: str, reason: str | None = None) -> None:
        self.status, self.status_reason, self.end_time = status, reason, utcnow()

    def preference(self, name: str, default: Any) -> Any:
        value = self.preferences.get(name)
        return default if value is None else value

    def digest(self) -> tuple[Any, ...]:
        """Return everything that a step may change, for comparison."""
        return (
            self.status, self.status_reason, self.percentage_complete, self.instances_to_update,
            self.stuck_since, self.checkpoint, self.paused_until, self.baking_until,
        )  # fmt: skip


def install(cloud: Cloud) -> None:
    """Add the actions."""

    def start_instance_refresh(self: Any) -> Any:
        group = requested_group(self)
        if launch_spec.active_refresh(group):
            problem = "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."
            raise AutoscalingClientError("InstanceRefreshInProgress", problem)
        if (strategy := self._get_param("Strategy") or "Rolling") != "Rolling":
            raise ValidationError(f"The strategy {strategy} is not available in the local cloud")
        desired = self._get_param("DesiredConfiguration") or None
        preferences = dict(self._get_param("Preferences") or {})
        check_preferences(preferences)
        if desired is not None:
            specification = desired.get("LaunchTemplate")
            if not specification:
                raise ValidationError("The local cloud takes a LaunchTemplate as the desired configuration")
            check_launchable(cloud, self.autoscaling_backend, specification)
        if preferences.get("AutoRollback") and (blocker := rollback_blocker(group, desired)):
            raise ValidationError(f"AutoRollback cannot be enabled: {blocker}")
        fill_defaults(group, preferences)
        refresh = InstanceRefresh(group, desired, preferences)
        autoscaling_refresh.begin(group, refresh)
        group.refreshes.insert(0, refresh)
        return ActionResult({"InstanceRefreshId": refresh.instance_refresh_id})

    replace_methods(
        AutoScalingResponse,
        start_instance_refresh,
        describe_instance_refreshes,
        cancel_instance_refresh,
        rollback_instance_refresh,
    )


def describe_instance_refreshes(self: Any) -> Any:
    group, ids = requested_group(self, reads=True), self._get_param("InstanceRefreshIds", [])
    refreshes = [refresh for refresh in group.refreshes if not ids or refresh.instance_refresh_id in ids]
    return paginated_result(self, "InstanceRefreshes", refreshes)


def cancel_instance_refresh(self: Any) -> Any:
    group = requested_group(self)
    refresh = launch_spec.active_refresh(group)
    if refresh is None or refresh.status == "Cancelling":
        raise no_active_refresh(group)
    refresh.status, refresh.status_reason = "Cancelling", "Cancelled due to user request."
    refresh.wait_for_transitioning = self._get_bool_param("WaitForTransitioningInstances", True)
    return ActionResult({"InstanceRefreshId": refresh.instance_refresh_id})


def rollback_instance_refresh(self: Any) -> Any:
    group = requested_group(self)
    refresh = launch_spec.active_refresh(group)
    if refresh is None or refresh.status in ("Cancelling", "RollbackInProgress"):
        raise no_active_refresh(group)
    if blocker := rollback_blocker(group, refresh.desired_configuration):
        raise AutoscalingClientError("IrreversibleInstanceRefresh", blocker)
    autoscaling_refresh.roll_back(group, refresh, "Manual rollback requested by the user.")
    return ActionResult({"InstanceRefreshId": refresh.instance_refresh_id})


def no_active_refresh(group: Any) -> AutoscalingClientError:
    problem = f"No in progress or pending Instance Refresh found for Auto Scaling group {group.name}"
    return AutoscalingClientError("ActiveInstanceRefreshNotFound", problem)


def rollback_blocker(group: Any, desired: dict[str, Any] | None) -> str:
    """Return why AWS would reject a rollback of the group's refresh; an empty string if it would not.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-rollback.html"""
    if not desired:
        return "the instance refresh has no desired configuration."
    own = launch_spec.group_specification(group)
    if own is None:
        return ""
    if str(own.get("Version") or "$Default").startswith("$"):
        return "the Auto Scaling group uses the $Latest or $Default version of its launch template."
    try:
        version = group.ec2_backend._get_template_from_args(own)
    except ServiceException as error:
        return str(error.message)
    if str(version.data.get("ImageId", "")).startswith("resolve:ssm:"):
        return "the Auto Scaling group's launch template names its AMI by a Systems Manager parameter."
    return ""


def check_preferences(preferences: dict[str, Any]) -> None:
    """Raise AWS's error for invalid preferences.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RefreshPreferences.html"""
    minimum, maximum = preferences.get("MinHealthyPercentage"), preferences.get("MaxHealthyPercentage")
    if minimum is not None and not 0 <= int(minimum) <= 100:
        raise ValidationError("MinHealthyPercentage must be between 0 and 100.")
    if maximum is not None:
        if minimum is None:
            raise ValidationError("You must specify MinHealthyPercentage when you specify MaxHealthyPercentage.")
        if not 100 <= int(maximum) <= 200:
            raise ValidationError("MaxHealthyPercentage must be between 100 and 200.")
        if int(maximum) - int(minimum) > 100:
            raise ValidationError(
                "The difference between MaxHealthyPercentage and MinHealthyPercentage cannot be greater than 100."
            )
    points = [int(point) for point in preferences.get("CheckpointPercentages") or []]
    if any(not 1 <= point <= 100 for point in points) or points != sorted(set(points)):
        raise ValidationError("CheckpointPercentages must be unique, in ascending order and between 1 and 100.")
    if preferences.get("CheckpointDelay") is not None and not points:
        raise ValidationError("You must specify CheckpointPercentages when you specify CheckpointDelay.")
    for name, values in BEHAVIOURS.items():
        if preferences.get(name) not in (None, *values):
            raise ValidationError(f"{name} must be one of {', '.join(values)}.")


def fill_defaults(group: Any, preferences: dict[str, Any]) -> None:
    """Add AWS's defaults to the preferences."""
    policy = group.instance_maintenance_policy or {}
    if preferences.get("MinHealthyPercentage") is None:
        preferences["MinHealthyPercentage"] = policy.get("MinHealthyPercentage", 90)
        if "MaxHealthyPercentage" in policy:
            preferences.setdefault("MaxHealthyPercentage", policy["MaxHealthyPercentage"])
    if preferences.get("InstanceWarmup") is None:
        warmup = group.default_instance_warmup
        preferences["InstanceWarmup"] = group.health_check_grace_period if warmup is None else warmup
    if preferences.get("CheckpointPercentages"):
        preferences.setdefault("CheckpointDelay", 3600)
    preferences.setdefault("SkipMatching", False)
    preferences.setdefault("AutoRollback", False)
    for name in BEHAVIOURS:
        preferences.setdefault(name, "Wait")
