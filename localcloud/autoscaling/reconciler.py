"""The reconciler of Auto Scaling groups: size, health and targets, one step per tick, under the cloud's lock.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-health-checks.html"""

from __future__ import annotations

import math
import time
from typing import Any

from moto.core.exceptions import ServiceException

from localcloud.autoscaling import launch_spec, lifecycle_hooks, refresh
from localcloud.autoscaling.launch import launch
from localcloud.autoscaling.members import (
    GroupMember,
    ScalingActivity,
    are_processes_active,
    ensure_fields,
    list_groups,
    remove,
    target_groups,
    terminate,
)
from localcloud.core.cloud import TERMINATED_STATES, Cloud
from localcloud.elbv2 import targets
from localcloud.elbv2.target_health import TargetHealthStore

MAX_LAUNCH_DELAY = 60.0  # seconds between attempts of a launch that fails repeatedly


class GroupReconciler:
    """The reconciler. It has no state but that of the groups, so that a restarted cloud continues."""

    def __init__(self, cloud: Cloud, health: TargetHealthStore) -> None:
        self._cloud, self._health = cloud, health

    def tick(self) -> None:
        """Do one step of each group, and save the state if any changed."""
        with self._cloud.lock:
            changes = [self.step(group, time.time()) for group in list_groups()]
            if any(changes):
                self._cloud.store.save()

    def step(self, group: Any, now: float) -> bool:
        """Do one step of a group. Return True if the group changed."""
        before = capture_state(group)
        ensure_fields(group)
        for member in list(group.instance_states):
            self._move(group, member, now)
        if are_processes_active(group, "HealthCheck"):
            for member in group.instance_states:
                self._check(group, member, now)
        target = refresh.step(self._health, group, now)
        self._resize(group, target + self._replace_unhealthy(group), now)
        self._register(group)
        if group.status and not group.instance_states:
            group.autoscaling_backend.autoscaling_groups.pop(group.name, None)
            return True
        return bool(capture_state(group) != before)

    def _move(self, group: Any, member: GroupMember, now: float) -> None:
        """Advance a member's lifecycle: Pending -> InService; Terminating -> drained -> terminated -> removed; hooks hold it."""
        instance = member.instance
        if member.pending:
            if instance.state == "running":
                self._launched(group, member, now)
            elif instance.state in (*TERMINATED_STATES, "stopped", "stopping"):
                self._launch_failed(group, str(instance.state_reason.message or "the instance did not start"), now)
                if member.activity:
                    member.activity.end("Failed", group.launch_problem)
                remove(group, member)
                if instance.state not in TERMINATED_STATES:
                    instance.terminate()
        elif member.terminating:
            if instance.state in TERMINATED_STATES:
                if instance.state == "terminated":
                    if member.activity:
                        member.activity.end()
                    remove(group, member)
            elif self._is_drained(group, member, now) and lifecycle_hooks.hold(group, member, "Terminating", now):
                instance.terminate()
                if member.activity:
                    member.activity.status_code, member.activity.progress = "InProgress", 60
        elif member.lifecycle_state == "EnteringStandby":
            if self._is_drained(group, member, now):
                member.lifecycle_state = "Standby"
        elif member.rebooting and instance.state == "running":
            member.rebooting, member.in_service_at = False, now

    def _launched(self, group: Any, member: GroupMember, now: float) -> None:
        """Put a member whose instance runs into service, once no lifecycle hook waits."""
        result = lifecycle_hooks.hold(group, member, "Pending", now)
        if result == "ABANDON":
            self._launch_failed(group, f"Lifecycle action of {member.instance_id} was abandoned.", now)
            if member.activity:
                member.activity.end("Cancelled", group.launch_problem)
            member.activity = None
            terminate(group, member, "an instance was taken out of service: its launch was abandoned.")
            member.instance.terminate()
        elif result:
            member.lifecycle_state, member.in_service_at = "InService", now
            # Resuming the process later does not register the members that came into service meanwhile.
            # https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
            member.unregistered = not are_processes_active(group, "AddToLoadBalancer")
            group.launch_failures = 0
            if member.activity:
                member.activity.end()

    def _is_drained(self, group: Any, member: GroupMember, now: float) -> bool:
        return member.instance.state != "running" or all(
            self._health.is_drained(target_group, member.instance_id, now) for target_group in target_groups(group)
        )

    def _check(self, group: Any, member: GroupMember, now: float) -> None:
        """Mark a member Unhealthy, by its EC2 state at once, by the load balancer after the grace period."""
        if member.lifecycle_state != "InService" or member.health_status == "Unhealthy":
            return
        if member.instance.state not in ("running", "pending"):
            member.unhealthy_cause = "an EC2 health check indicating it has been terminated or stopped"
            member.health_status = "Unhealthy"
        elif "ELB" in (group.health_check_type or "") and not member.in_grace_period(now):
            for target_group in target_groups(group):
                if self._health.state(target_group, member.instance_id)[0] == "unhealthy":
                    member.unhealthy_cause = "an ELB system health check failure"
                    member.health_status = "Unhealthy"

    def _replace_unhealthy(self, group: Any) -> int:
        """Terminate unhealthy members. Return how many stay until they are replaced. They stay if the instance maintenance policy
        requires it: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-maintenance-policy.html"""
        if not are_processes_active(group, "ReplaceUnhealthy", "Terminate"):
            return 0
        policy, desired = group.instance_maintenance_policy or {}, int(group.desired_capacity or 0)
        surplus = math.floor(desired * int(policy.get("MaxHealthyPercentage", 100)) / 100) - desired
        min_healthy = math.ceil(desired * int(policy.get("MinHealthyPercentage", 0)) / 100)
        in_service = [member for member in group.instance_states if member.lifecycle_state == "InService"]
        healthy = sum(member.health_status == "Healthy" for member in in_service)
        stay = 0
        for member in [member for member in in_service if member.health_status == "Unhealthy"]:
            if healthy < min_healthy and stay < surplus and member.instance.state == "running":
                stay += 1
                continue
            cause = member.unhealthy_cause or "a user health-check"
            terminate(group, member, f"an instance was taken out of service in response to {cause}.")
        return stay

    def _resize(self, group: Any, target: int, now: float) -> None:
        """Launch or terminate members until the group has `target` active ones."""
        members = [member for member in group.instance_states if member.active]
        size = len(members)
        if size < target and are_processes_active(group, "Launch") and now >= group.launch_again_at:
            for number in range(size, target):
                cause = (
                    "an instance was started in response to a difference between desired and actual capacity, "
                    f"increasing the capacity from {number} to {number + 1}."
                )
                try:
                    member = launch(group, launch_spec.launch_specification(group), cause)
                except ServiceException as error:
                    self._launch_failed(group, error.message, now)
                    ScalingActivity(group, "Launching a new EC2 instance", cause).end("Failed", group.launch_problem)
                    return
                member.refresh_id = launch_spec.launch_refresh_id(group)
        elif size > target and are_processes_active(group, "Terminate"):
            for number, member in enumerate(choose_for_termination(group, members, size - target)):
                cause = (
                    "an instance was taken out of service in response to a difference between desired and actual "
                    f"capacity, shrinking the capacity from {size - number} to {size - number - 1}. "
                    f"Instance {member.instance_id} was selected for termination."
                )
                terminate(group, member, cause)

    def _launch_failed(self, group: Any, problem: str, now: float) -> None:
        group.launch_failures += 1
        group.launch_problem = f"{problem} Launching EC2 instance failed."
        group.launch_again_at = now + min(MAX_LAUNCH_DELAY, 2.0 ** (group.launch_failures - 1))

    def _register(self, group: Any) -> None:
        """Register exactly the members in service with the group's target groups."""
        for target_group in target_groups(group):
            for member in group.instance_states:
                registered = member.instance_id in target_group.targets
                serves = member.lifecycle_state == "InService" and member.instance.state == "running"
                if serves and not registered and not member.unregistered:
                    target_group.register([{"Id": member.instance_id}])
                ended = member.instance.state in TERMINATED_STATES
                if registered and (ended or member.terminating or member.standby):
                    targets.drain(target_group, member.instance_id)


def choose_for_termination(group: Any, members: list[Any], count: int) -> list[Any]:
    """Return the members to terminate: unhealthy ones first, then by the group's termination policies. The default policy prefers
    the largest zone, then other template versions, then the oldest members.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html"""
    candidates = [member for member in members if not member.protected_from_scale_in]
    chosen: list[Any] = []
    specification = launch_spec.launch_specification(group)

    def priority(member: Any) -> tuple[Any, ...]:
        keys: list[Any] = [member.health_status == "Healthy"]
        for policy in group.termination_policies or ["Default"]:
            if policy == "NewestInstance":
                keys.append(-member.launched_at)
            elif policy == "OldestInstance":
                keys.append(member.launched_at)
            else:
                keys.append(-sum(other.availability_zone == member.availability_zone for other in candidates))
                keys.append(launch_spec.matches_specification(group, member, specification))
        return (*keys, member.launched_at)

    while candidates and len(chosen) < count:
        member = min(candidates, key=priority)
        candidates.remove(member)
        chosen.append(member)
    return chosen


def capture_state(group: Any) -> Any:
    """Return everything that a step may change, for comparison."""
    members = [
        (member.instance_id, member.lifecycle_state, member.health_status, getattr(member, "in_service_at", None))
        for member in group.instance_states
    ]
    activities = getattr(group, "activities", [])
    groups = target_groups(group)
    registered = [(len(each.targets), len(targets.draining_targets(each))) for each in groups]
    return members, len(activities), registered, [refresh.digest() for refresh in getattr(group, "refreshes", [])]
