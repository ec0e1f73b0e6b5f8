"""The Auto Scaling API over the reconciler: requests only write down what should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, autoscaling_backends
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.utils import filter_iam_instance_profiles

from localcloud.autoscaling import launch_spec, members
from localcloud.autoscaling.members import GroupMember
from localcloud.autoscaling.request import page, requested_group
from localcloud.core.cloud import Cloud
from localcloud.ec2.image_model import get_available_image
from localcloud.ec2.launch_templates import resolve_image

_create, _update = AutoScalingResponse.create_auto_scaling_group, AutoScalingResponse.update_auto_scaling_group
_attach = AutoScalingResponse.attach_instances
_plain = {
    name: getattr(AutoScalingResponse, name)
    for name in (
        "attach_load_balancer_target_groups", "suspend_processes",
        "resume_processes", "set_instance_protection", "enter_standby", "exit_standby",
        "describe_load_balancer_target_groups", "put_scaling_policy", "put_lifecycle_hook",
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
    """Replace moto's methods and actions by these. May be called again with another cloud."""

    def create_auto_scaling_group(self: Any) -> Any:
        """moto: overwrites a group of the same name; a grace period of 0 becomes 300; several settings are lost."""
        backend, name = self.autoscaling_backend, self._get_param("AutoScalingGroupName")
        if name in backend.autoscaling_groups:
            raise AutoscalingClientError(
                "AlreadyExists",
                f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
            )
        small, large = int(self._get_param("MinSize")), int(self._get_param("MaxSize"))
        wanted = self._get_param("DesiredCapacity")
        check_size(small, large, small if wanted is None else int(wanted))
        for arn in self._get_param("TargetGroupARNs", []):
            backend.elbv2_backend.describe_target_groups(None, [arn], None)
        check_launchable(cloud, backend, self._get_param("LaunchTemplate"))
        answer = _create(self)
        group = backend.autoscaling_groups[name]
        members.ensure_fields(group)
        group.created_time = utcnow()
        group.health_check_grace_period = int(self._get_param("HealthCheckGracePeriod", 0) or 0)
        apply_settings(self, group)
        return answer

    def update_auto_scaling_group(self: Any) -> Any:
        group = requested_group(self)
        template = self._get_param("LaunchTemplate") or self._get_param("MixedInstancesPolicy")
        refresh = launch_spec.active_refresh(group)
        if (template or self._get_param("LaunchConfigurationName")) and refresh and refresh.desired_configuration:
            raise ValidationError(
                "An active instance refresh with a desired configuration exists. All configuration options derived "
                "from the desired configuration are not available for update while the instance refresh is active."
            )
        small = group.min_size if self._get_param("MinSize") is None else int(self._get_param("MinSize"))
        large = group.max_size if self._get_param("MaxSize") is None else int(self._get_param("MaxSize"))
        wanted = self._get_param("DesiredCapacity")
        if wanted is None:  # AWS moves it into the new limits
            wanted = min(max(group.desired_capacity, small), large)
        check_size(small, large, int(wanted))
        if self._get_param("LaunchTemplate"):
            check_launchable(cloud, self.autoscaling_backend, self._get_param("LaunchTemplate"))
        policy = group.mixed_instances_policy
        self.params["DesiredCapacity"] = int(wanted)
        answer = _update(self)
        if not template:
            group.mixed_instances_policy = policy  # moto forgets it on any update
        apply_settings(self, group)
        return answer

    AutoScalingResponse.create_auto_scaling_group = create_auto_scaling_group
    AutoScalingResponse.update_auto_scaling_group = update_auto_scaling_group
    for name, action in _plain.items():
        setattr(AutoScalingResponse, name, require_group(action))
    for added in (
        attach_instances,
        delete_auto_scaling_group,
        describe_scaling_activities,
        set_desired_capacity,
    ):
        setattr(AutoScalingResponse, added.__name__, added)
    FakeAutoScalingGroup.set_desired_capacity = set_capacity
    FakeAutoScalingGroup.replace_autoscaling_group_instances = do_nothing
    AutoScalingBackend.notify_terminate_instances = do_nothing
    AutoScalingBackend.update_attached_target_groups = do_nothing


def resume() -> None:
    """After a start: machines boot again, so the grace periods of their members start again."""
    for _, _, backend in list(autoscaling_backends.iter_backends()):
        for group in backend.autoscaling_groups.values():
            for member in group.instance_states:
                if isinstance(member, GroupMember) and member.lifecycle_state in ("InService", "Standby"):
                    member.reviving = True


def set_capacity(self: Any, capacity: int | None) -> None:
    """moto launches and terminates here; the reconciler does."""
    self.desired_capacity = self.min_size if capacity is None else capacity


def do_nothing(self: Any, *_: Any) -> None:
    """The reconciler sees to it."""


def require_group(action: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """moto answers an unknown group's name with an internal error."""

    def call(self: Any) -> Any:
        requested_group(self)
        return action(self)

    return call


def attach_instances(self: Any) -> Any:
    """moto: also those that do not run, or are members already.

    Source: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-detach-attach-instances.html
    """
    group, ec2 = requested_group(self), self.autoscaling_backend.ec2_backend
    for wanted in self._get_param("InstanceIds", []):
        if any(member.instance.id == wanted for member in group.instance_states):
            raise ValidationError(f"Instance {wanted} is already part of AutoScalingGroup:{group.name}.")
        if ec2.get_instance(wanted).state != "running":
            raise ValidationError(f"Instance {wanted} is not in correct state.")
    return _attach(self)


def delete_auto_scaling_group(self: Any) -> Any:
    """moto: no ForceDelete. The group stays visible (Delete in progress) until its last instance is terminated."""
    group = requested_group(self)
    if not self._get_bool_param("ForceDelete", False):
        if group.instance_states:
            raise AutoscalingClientError(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
                "still in the group.",
            )
        if launch_spec.active_refresh(group):
            raise AutoscalingClientError(
                "ScalingActivityInProgress", "An instance refresh of the AutoScalingGroup is still in progress."
            )
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
    """moto: none."""
    name, ids = self._get_param("AutoScalingGroupName"), self._get_param("ActivityIds", [])
    groups = [requested_group(self, reads=True)] if name else list(self.autoscaling_backend.autoscaling_groups.values())
    found = [one for group in groups for one in getattr(group, "activities", [])]
    found = sorted((one for one in found if not ids or one.activity_id in ids), key=lambda one: one.start_time)[::-1]
    shown, token = page(self, found)
    return ActionResult({"Activities": shown, "NextToken": token})


def set_desired_capacity(self: Any) -> Any:
    group, wanted = requested_group(self), int(self._get_param("DesiredCapacity"))
    if wanted > group.max_size:
        raise ValidationError(
            f"New SetDesiredCapacity value {wanted} is above max value {group.max_size} for the AutoScalingGroup."
        )
    if wanted < group.min_size:
        raise ValidationError(
            f"New SetDesiredCapacity value {wanted} is below min value {group.min_size} for the AutoScalingGroup."
        )
    group.desired_capacity = wanted
    return EmptyResult()


# --- what they share ---


def check_size(small: int, large: int, wanted: int) -> None:
    if small > large:
        raise ValidationError(f"Max bound, {large}, must be greater than or equal to min bound, {small}")
    if not small <= wanted <= large:
        raise ValidationError(
            f"Desired capacity:{wanted} must be between the specified min size:{small} and max size:{large}"
        )


def apply_settings(response: Any, group: Any) -> None:
    """The settings that moto drops."""
    for name, attribute in SETTINGS.items():
        if (value := response._get_param(name)) is not None:
            setattr(group, attribute, value)
    if isinstance(policy := group.instance_maintenance_policy, dict) and -1 in policy.values():
        group.instance_maintenance_policy = None  # -1 clears it


def check_launchable(cloud: Cloud, scaling: Any, asked: dict[str, Any] | None) -> None:
    """Auto Scaling tries a launch (as a dry run) before it takes a template."""
    if not asked:
        return
    backend = scaling.ec2_backend
    try:
        version = backend._get_template_from_args(asked)
        data = version.data
        get_available_image(cloud, backend, resolve_image(scaling.region_name, scaling.account_id, data))
        for one in [*data.get("SecurityGroupIds", []), *data.get("SecurityGroups", [])]:
            if backend.get_security_group_by_name_or_id(one) is None:
                raise ValidationError(f"The security group '{one}' does not exist")
        if profile := data.get("IamInstanceProfile"):
            filter_iam_instance_profiles(scaling.account_id, "aws", profile.get("Arn"), profile.get("Name"))
        if version.instance_type not in INSTANCE_TYPES:
            raise ValidationError(f"Invalid instance type: '{version.instance_type}'")
    except ServiceException as error:
        raise ValidationError(f"You must use a valid fully-formed launch template. {error.message}") from error
