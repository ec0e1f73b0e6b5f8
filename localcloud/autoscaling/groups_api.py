"""The Auto Scaling API's actions on groups. They change the desired state only; the reconciler acts on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import EmptyResult
from moto.core.utils import utcnow

from localcloud.autoscaling import launch_spec, members
from localcloud.autoscaling.launch import check_launchable
from localcloud.autoscaling.members import GroupMember, list_groups
from localcloud.autoscaling.request import paginated_result, requested_group
from localcloud.core.cloud import Cloud
from localcloud.core.overrides import replace_methods

_create, _update = AutoScalingResponse.create_auto_scaling_group, AutoScalingResponse.update_auto_scaling_group
_suspend = AutoScalingResponse.suspend_processes
PROCESSES = (
    "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck", "InstanceRefresh",
    "Launch", "ReplaceUnhealthy", "ScheduledActions", "Terminate",
)  # fmt: skip
_existing = {
    name: getattr(AutoScalingResponse, name)
    for name in (
        "attach_load_balancer_target_groups", "resume_processes",
        "describe_load_balancer_target_groups", "put_scaling_policy",
    )
}  # fmt: skip
SETTINGS = {
    "DefaultCooldown": "default_cooldown",
    "DefaultInstanceWarmup": "default_instance_warmup",
    "InstanceMaintenancePolicy": "instance_maintenance_policy",
    "MaxInstanceLifetime": "max_instance_lifetime",
    "TerminationPolicies": "termination_policies",
    "CapacityRebalance": "capacity_rebalance",
    "NewInstancesProtectedFromScaleIn": "new_instances_protected_from_scale_in",
    "PlacementGroup": "placement_group",
}


def install(cloud: Cloud) -> None:
    """Replace moto's methods and actions."""

    def create_auto_scaling_group(self: Any) -> Any:
        """moto overwrites a group of the same name, turns a grace period of 0 into 300, and ignores several settings.
        https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateAutoScalingGroup.html"""
        backend, name = self.autoscaling_backend, self._get_param("AutoScalingGroupName")
        if name in backend.autoscaling_groups:
            problem = f"AutoScalingGroup by this name already exists - A group with the name {name} already exists"
            raise AutoscalingClientError("AlreadyExists", problem)
        min_size, max_size = int(self._get_param("MinSize")), int(self._get_param("MaxSize"))
        desired = self._get_param("DesiredCapacity")
        check_size(min_size, max_size, min_size if desired is None else int(desired))
        for arn in self._get_param("TargetGroupARNs", []):
            backend.elbv2_backend.describe_target_groups(None, [arn], None)
        check_launchable(cloud, backend, self._get_param("LaunchTemplate"))
        response = _create(self)
        group = backend.autoscaling_groups[name]
        members.ensure_fields(group)
        group.created_time = utcnow()
        group.health_check_grace_period = int(self._get_param("HealthCheckGracePeriod", 0) or 0)
        apply_settings(self, group)
        return response

    def update_auto_scaling_group(self: Any) -> Any:
        """https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_UpdateAutoScalingGroup.html"""
        group = requested_group(self)
        template = self._get_param("LaunchTemplate") or self._get_param("MixedInstancesPolicy")
        refresh = launch_spec.active_refresh(group)
        if (template or self._get_param("LaunchConfigurationName")) and refresh and refresh.desired_configuration:
            raise ValidationError(
                "An active instance refresh with a desired configuration exists. All configuration options derived "
                "from the desired configuration are not available for update while the instance refresh is active."
            )
        min_size = group.min_size if self._get_param("MinSize") is None else int(self._get_param("MinSize"))
        max_size = group.max_size if self._get_param("MaxSize") is None else int(self._get_param("MaxSize"))
        desired = self._get_param("DesiredCapacity")
        if desired is None:  # AWS moves it into the new limits
            desired = min(max(group.desired_capacity, min_size), max_size)
        check_size(min_size, max_size, int(desired))
        if self._get_param("LaunchTemplate"):
            check_launchable(cloud, self.autoscaling_backend, self._get_param("LaunchTemplate"))
        policy = group.mixed_instances_policy
        self.params["DesiredCapacity"] = int(desired)
        response = _update(self)
        if not template:
            group.mixed_instances_policy = policy  # moto deletes it in any update
        apply_settings(self, group)
        return response

    for name, action in _existing.items():
        setattr(AutoScalingResponse, name, require_group(action))
    replace_methods(
        AutoScalingResponse, create_auto_scaling_group, update_auto_scaling_group, suspend_processes,
        delete_auto_scaling_group, describe_scaling_activities, set_desired_capacity,
    )  # fmt: skip
    FakeAutoScalingGroup.set_desired_capacity = set_capacity
    FakeAutoScalingGroup.replace_autoscaling_group_instances = do_nothing
    AutoScalingBackend.notify_terminate_instances = do_nothing
    AutoScalingBackend.update_attached_target_groups = do_nothing


def resume() -> None:
    """Restart the grace periods after a restart of the cloud, as machines boot again."""
    for group in list_groups():
        for member in group.instance_states:
            if isinstance(member, GroupMember) and not (member.pending or member.terminating):
                member.rebooting = True


def set_capacity(self: Any, capacity: int | None) -> None:
    """Store the capacity. moto launches and terminates instances here; the reconciler does that."""
    self.desired_capacity = self.min_size if capacity is None else capacity


def do_nothing(self: Any, *_: Any) -> None:
    """Do nothing: the reconciler does it."""


def require_group(action: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the action with a check of the group's name, which moto answers with an internal error if unknown.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html"""

    def call(self: Any) -> Any:
        requested_group(self)
        return action(self)

    return call


def suspend_processes(self: Any) -> Any:
    """moto accepts any name. https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SuspendProcesses.html"""
    requested_group(self)
    for process in self._get_param("ScalingProcesses", []):
        if process not in PROCESSES:
            raise ValidationError(f"Unknown scaling process: {process}")
    return _suspend(self)


def delete_auto_scaling_group(self: Any) -> Any:
    """moto ignores ForceDelete. The group stays visible (Delete in progress) until its last instance is terminated.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeleteAutoScalingGroup.html"""
    group = requested_group(self)
    if not self._get_bool_param("ForceDelete", False):
        if group.instance_states:
            raise AutoscalingClientError(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
                "still in the group.",
            )
        if launch_spec.active_refresh(group):
            problem = "An instance refresh of the AutoScalingGroup is still in progress."
            raise AutoscalingClientError("ScalingActivityInProgress", problem)
    group.min_size = group.desired_capacity = 0
    group.status = "Delete in progress"
    for refresh in group.refreshes:
        if refresh.is_active:
            refresh.end("Cancelled", "The Auto Scaling group was deleted.")
    for member in group.instance_states:
        member.protected_from_scale_in = False
        members.terminate(group, member, "an instance was taken out of service: the group is deleted.")
        member.instance.terminate()
    if not group.instance_states:
        del self.autoscaling_backend.autoscaling_groups[group.name]
    return EmptyResult()


def describe_scaling_activities(self: Any) -> Any:
    """moto returns none. https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeScalingActivities.html"""
    name, ids = self._get_param("AutoScalingGroupName"), self._get_param("ActivityIds", [])
    groups = [requested_group(self, reads=True)] if name else list(self.autoscaling_backend.autoscaling_groups.values())
    activities = [activity for group in groups for activity in getattr(group, "activities", [])]
    activities = [activity for activity in activities if not ids or activity.activity_id in ids]
    activities = sorted(activities, key=lambda activity: activity.start_time)[::-1]
    return paginated_result(self, "Activities", activities)


def set_desired_capacity(self: Any) -> Any:
    """https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetDesiredCapacity.html"""
    group, desired = requested_group(self), int(self._get_param("DesiredCapacity"))
    if not group.min_size <= desired <= group.max_size:
        above = desired > group.max_size
        limit = f"above max value {group.max_size}" if above else f"below min value {group.min_size}"
        raise ValidationError(f"New SetDesiredCapacity value {desired} is {limit} for the AutoScalingGroup.")
    group.desired_capacity = desired
    return EmptyResult()


def check_size(min_size: int, max_size: int, desired: int) -> None:
    """Raise AWS's error if the sizes contradict each other."""
    if min_size > max_size:
        raise ValidationError(f"Max bound, {max_size}, must be greater than or equal to min bound, {min_size}")
    if not min_size <= desired <= max_size:
        raise ValidationError(
            f"Desired capacity:{desired} must be between the specified min size:{min_size} and max size:{max_size}"
        )


def apply_settings(response: Any, group: Any) -> None:
    """Apply the settings of the request that moto ignores."""
    for name, attribute in SETTINGS.items():
        if (value := response._get_param(name)) is not None:
            setattr(group, attribute, value)
    if isinstance(policy := group.instance_maintenance_policy, dict) and -1 in policy.values():
        group.instance_maintenance_policy = None  # -1 clears it
