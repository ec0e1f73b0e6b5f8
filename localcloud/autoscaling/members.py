"""Members of Auto Scaling groups and what happens to them: activities, leaving service, what a group keeps of them."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from moto.autoscaling.models import InstanceState
from moto.core.utils import utcnow

from localcloud.elbv2 import targets

MAX_ACTIVITIES = 500  # kept for each group; AWS keeps six weeks
TERMINATED_STATES = ("shutting-down", "terminated")


class ScalingActivity:
    """One scaling activity, with the names that the API shows."""

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
    """An instance of a group. moto shows the template's default version, whatever it was launched from."""

    def __init__(self, group: Any, instance: Any, specification: dict[str, str] | None, state: str = "Pending") -> None:
        instance.autoscaling_group = group
        super().__init__(instance, state, "Healthy", group.new_instances_protected_from_scale_in, group)
        self.specification = specification
        self.launched_at = time.time()
        self.in_service_at: float | None = None if state == "Pending" else self.launched_at
        self.refresh_id: str | None = None  # the instance refresh that launched it
        self.reviving = False  # the cloud was restarted: its machine boots again
        self.unhealthy_cause = ""
        self.activity: ScalingActivity | None = None

    @property
    def launch_template(self) -> dict[str, str] | None:
        return self.specification

    @property
    def active(self) -> bool:
        return self.lifecycle_state in ("Pending", "InService")

    def in_grace_period(self, now: float) -> bool:
        """Whether the group's health check grace period still runs for it."""
        if self.reviving or self.in_service_at is None:
            return True
        return now - self.in_service_at < float(self.auto_scaling_group.health_check_grace_period or 0)


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def terminate(group: Any, member: GroupMember, cause: str) -> ScalingActivity:
    """Take a member out of service: no new requests, then (drained) no machine."""
    if member.lifecycle_state == "Terminating" and member.activity:
        return member.activity
    member.lifecycle_state = "Terminating"
    member.activity = ScalingActivity(group, f"Terminating EC2 instance: {member.instance_id}", cause)
    for one in target_groups(group):
        targets.drain(one, member.instance_id)
        if member.instance_id in targets.draining_targets(one):
            member.activity.status_code = "WaitingForELBConnectionDraining"
    return member.activity


def remove(group: Any, member: GroupMember) -> None:
    """A member is a member no more; what its instance is now is EC2's matter."""
    if member in group.instance_states:
        group.instance_states.remove(member)
    for one in target_groups(group):
        targets.drain(one, member.instance_id)
    with contextlib.suppress(AttributeError):
        del member.instance.autoscaling_group


def target_groups(group: Any) -> list[Any]:
    """The group's target groups that (still) exist."""
    known = group.autoscaling_backend.elbv2_backend.target_groups
    return [known[arn] for arn in group.target_group_arns if arn in known]


def are_processes_active(group: Any, *processes: str) -> bool:
    """Whether none of these processes is suspended. A group that is being deleted cannot be held up."""
    return bool(group.status) or not set(processes) & set(group._suspended_processes)


def ensure_fields(group: Any) -> None:
    """Give what moto made (attached instances) and older snapshots the fields that are used here."""
    for name, value in GROUP_DEFAULTS.items():
        if name not in vars(group):
            setattr(group, name, list(value) if isinstance(value, list) else value)
    for index, one in enumerate(group.instance_states):
        if not isinstance(one, GroupMember):
            group.instance_states[index] = member = GroupMember(group, one.instance, None, "InService")
            member.protected_from_scale_in = one.protected_from_scale_in


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
