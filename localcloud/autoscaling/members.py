"""Members of Auto Scaling groups, their termination, and scaling activities."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from moto.autoscaling.models import InstanceState, autoscaling_backends
from moto.core.utils import utcnow

from localcloud.core.cloud import regional_backends
from localcloud.elbv2 import targets

MAX_ACTIVITIES = 500  # for each group; AWS keeps them for six weeks


class ScalingActivity:
    """One scaling activity. Attributes have the names of the API.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_Activity.html"""

    def __init__(self, group: Any, description: str, cause: str, details: dict[str, str] | None = None) -> None:
        self.activity_id = str(uuid.uuid4())
        self.auto_scaling_group_name = group.name
        self.auto_scaling_group_arn = group.arn
        self.description = description
        self.cause = f"At {stamp()} {cause}"
        self.start_time = utcnow()
        self.end_time: datetime | None = None
        self.status_code = "InProgress"
        self.status_message: str | None = None
        self.progress = 30
        self.details = json.dumps(details or {})
        group.activities.insert(0, self)
        del group.activities[MAX_ACTIVITIES:]

    def end(self, status: str = "Successful", message: str | None = None) -> None:
        if self.end_time is None:
            self.status_code, self.status_message, self.progress = status, message, 100
            self.end_time = utcnow()


class GroupMember(InstanceState):  # type: ignore[misc]
    """An instance of a group. moto shows the template's default version instead of the launched one.
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_Instance.html"""

    waits: Mapping[str, Any] = {}  # lifecycle hooks that were waited for last (lifecycle_hooks.HookWait)
    unregistered = False  # came into service while AddToLoadBalancer was suspended

    def __init__(self, group: Any, instance: Any, specification: dict[str, str] | None, state: str = "Pending") -> None:
        instance.autoscaling_group = group
        super().__init__(instance, state, "Healthy", group.new_instances_protected_from_scale_in, group)
        self.specification = specification
        self.launched_at = time.time()
        self.in_service_at: float | None = None if state == "Pending" else self.launched_at
        self.refresh_id: str | None = None  # the instance refresh that launched it
        self.rebooting = False  # its machine boots again after a restart of the cloud
        self.unhealthy_cause = ""
        self.activity: ScalingActivity | None = None

    @property
    def launch_template(self) -> dict[str, str] | None:
        return self.specification

    @property
    def active(self) -> bool:
        return self.pending or self.lifecycle_state == "InService"

    @property
    def pending(self) -> bool:
        return bool(self.lifecycle_state.startswith("Pending"))

    @property
    def terminating(self) -> bool:
        return bool(self.lifecycle_state.startswith("Terminating"))

    @property
    def standby(self) -> bool:
        return self.lifecycle_state in ("EnteringStandby", "Standby")

    def in_grace_period(self, now: float) -> bool:
        """Return True during the group's health check grace period."""
        if self.rebooting or self.in_service_at is None:
            return True
        return now - self.in_service_at < float(self.auto_scaling_group.health_check_grace_period or 0)


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def terminate(group: Any, member: GroupMember, cause: str) -> ScalingActivity:
    """Take a member out of service: drain it; the reconciler terminates it afterwards."""
    if member.terminating and member.activity:
        return member.activity
    member.lifecycle_state = "Terminating"
    member.activity = ScalingActivity(group, f"Terminating EC2 instance: {member.instance_id}", cause)
    for target_group in target_groups(group):
        targets.drain(target_group, member.instance_id)
        if member.instance_id in targets.draining_targets(target_group):
            member.activity.status_code = "WaitingForELBConnectionDraining"
    return member.activity


def remove(group: Any, member: GroupMember) -> None:
    """Remove a member from its group and target groups. The instance itself is not changed."""
    if member in group.instance_states:
        group.instance_states.remove(member)
    for target_group in target_groups(group):
        targets.drain(target_group, member.instance_id)
    with contextlib.suppress(AttributeError):
        del member.instance.autoscaling_group


def target_groups(group: Any) -> list[Any]:
    """Return the group's target groups that exist."""
    existing = group.autoscaling_backend.elbv2_backend.target_groups
    return [existing[arn] for arn in group.target_group_arns if arn in existing]


def are_processes_active(group: Any, *processes: str) -> bool:
    """Return True if none of these processes is suspended. In a group that is being deleted, none is."""
    return bool(group.status) or not set(processes) & set(group._suspended_processes)


def ensure_fields(group: Any) -> None:
    """Add this package's fields to a group, and replace members that moto created (attached instances)."""
    for name, value in GROUP_DEFAULTS.items():
        if name not in vars(group):
            setattr(group, name, list(value) if isinstance(value, list) else value)
    for index, state in enumerate(group.instance_states):
        if not isinstance(state, GroupMember):
            group.instance_states[index] = member = GroupMember(group, state.instance, None, "InService")
            member.protected_from_scale_in = state.protected_from_scale_in


def list_groups() -> list[Any]:
    """Return all Auto Scaling groups."""
    backends = regional_backends(autoscaling_backends)
    return [group for backend in backends for group in list(backend.autoscaling_groups.values())]


GROUP_DEFAULTS: dict[str, Any] = {
    "activities": [],
    "refreshes": [],
    "status": None,
    "launch_failures": 0,
    "launch_problem": "",
    "launch_again_at": 0.0,
    "default_instance_warmup": None,
    "instance_maintenance_policy": None,
    "max_instance_lifetime": None,
}
