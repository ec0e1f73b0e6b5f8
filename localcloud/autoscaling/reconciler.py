"""Keeps Auto Scaling groups as they should be: size, health, targets. One step a tick, under the cloud's lock.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-health-checks.html
"""

from __future__ import annotations

import math
import time
from typing import Any

from moto.autoscaling.models import autoscaling_backends
from moto.core.exceptions import ServiceException

from localcloud.autoscaling import launch_spec, refresh
from localcloud.autoscaling.launch import launch
from localcloud.autoscaling.members import (
    TERMINATED_STATES,
    GroupMember,
    ScalingActivity,
    are_processes_active,
    ensure_fields,
    remove,
    target_groups,
    terminate,
)
from localcloud.core.cloud import Cloud
from localcloud.elbv2 import targets
from localcloud.elbv2.targets import TargetHealthStore

MAX_LAUNCH_DELAY = 60.0  # between two attempts of a launch that fails again and again


class GroupReconciler:
    """The reconciler. Everything that it knows is in the groups, so that a restarted cloud goes on."""

    def __init__(self, cloud: Cloud, health: TargetHealthStore) -> None:
        self._cloud, self._health = cloud, health

    def tick(self) -> None:
        """One round over all groups; saved when something changed."""
        with self._cloud.lock:
            changed = False
            for _, _, backend in list(autoscaling_backends.iter_backends()):
                for group in list(backend.autoscaling_groups.values()):
                    changed |= self.step(backend, group, time.time())
            if changed:
                self._cloud.store.save()

    def step(self, backend: Any, group: Any, now: float) -> bool:
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
            backend.autoscaling_groups.pop(group.name, None)
            return True
        return bool(capture_state(group) != before)

    # --- one member ---

    def _move(self, group: Any, member: GroupMember, now: float) -> None:
        """Pending -> InService; Terminating -> (drained) -> terminated -> gone."""
        instance = member.instance
        if member.lifecycle_state == "Pending":
            if instance.state == "running":
                member.lifecycle_state, member.in_service_at = "InService", now
                group.launch_failures = 0
                if member.activity:
                    member.activity.end()
            elif instance.state in (*TERMINATED_STATES, "stopped", "stopping"):
                self._launch_failed(group, str(instance.state_reason.message or "the instance did not start"), now)
                if member.activity:
                    member.activity.end("Failed", group.launch_problem)
                remove(group, member)
                if instance.state not in TERMINATED_STATES:
                    instance.terminate()
        elif member.lifecycle_state == "Terminating":
            if instance.state in TERMINATED_STATES:
                if instance.state == "terminated":
                    if member.activity:
                        member.activity.end()
                    remove(group, member)
            elif instance.state != "running" or all(
                self._health.is_drained(one, instance.id, now) for one in target_groups(group)
            ):
                instance.terminate()
                if member.activity:
                    member.activity.status_code, member.activity.progress = "InProgress", 60
        elif member.reviving and instance.state == "running":
            member.reviving, member.in_service_at = False, now

    def _check(self, group: Any, member: GroupMember, now: float) -> None:
        """Mark a member Unhealthy, as EC2's state at once or the load balancer after the grace period says."""
        if member.lifecycle_state != "InService" or member.health_status == "Unhealthy":
            return
        if member.instance.state not in ("running", "pending"):
            member.unhealthy_cause = "an EC2 health check indicating it has been terminated or stopped"
            member.health_status = "Unhealthy"
        elif "ELB" in (group.health_check_type or "") and not member.in_grace_period(now):
            for one in target_groups(group):
                if self._health.state(one, member.instance_id)[0] == "unhealthy":
                    member.unhealthy_cause = "an ELB system health check failure"
                    member.health_status = "Unhealthy"

    # --- the group ---

    def _replace_unhealthy(self, group: Any) -> int:
        """Terminate the unhealthy; returns how many stay until their replacement is there.

        They stay with an instance maintenance policy that asks for it:
        https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-maintenance-policy.html
        """
        if not are_processes_active(group, "ReplaceUnhealthy", "Terminate"):
            return 0
        policy, desired = group.instance_maintenance_policy or {}, int(group.desired_capacity or 0)
        over = math.floor(desired * int(policy.get("MaxHealthyPercentage", 100)) / 100) - desired
        small = math.ceil(desired * int(policy.get("MinHealthyPercentage", 0)) / 100)
        serving = [one for one in group.instance_states if one.active and one.health_status == "Healthy"]
        stay = 0
        for member in [one for one in group.instance_states if one.health_status == "Unhealthy"]:
            if member.lifecycle_state != "InService":
                continue
            replaced = len([one for one in serving if one.lifecycle_state == "InService"]) >= small
            if not replaced and stay < over and member.instance.state == "running":
                stay += 1
                continue
            cause = member.unhealthy_cause or "a user health-check"
            terminate(group, member, f"an instance was taken out of service in response to {cause}.")
        return stay

    def _resize(self, group: Any, target: int, now: float) -> None:
        members = [one for one in group.instance_states if one.active]
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
                    activity = ScalingActivity(group, "Launching a new EC2 instance", cause)
                    activity.end("Failed", group.launch_problem)
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
        """Exactly the members in service are targets of the group's target groups."""
        for one in target_groups(group):
            for member in group.instance_states:
                wanted = member.lifecycle_state == "InService" and member.instance.state == "running"
                if (
                    wanted
                    and member.instance_id not in one.targets
                    and are_processes_active(group, "AddToLoadBalancer")
                ):
                    one.register([{"Id": member.instance_id}])
                elif member.instance_id in one.targets and (
                    member.lifecycle_state in ("Terminating", "Standby") or member.instance.state in TERMINATED_STATES
                ):
                    targets.drain(one, member.instance_id)


def choose_for_termination(group: Any, members: list[Any], count: int) -> list[Any]:
    """Which members go: of the largest zone, the unhealthy, those of another template version, the oldest first.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html
    """
    left = [one for one in members if not one.protected_from_scale_in]
    gone: list[Any] = []
    policies = group.termination_policies or ["Default"]
    while left and len(gone) < count:
        zones = [one.availability_zone for one in left]
        keys: list[Any] = []
        for policy in policies:
            if policy == "NewestInstance":
                keys.append(lambda one: -one.launched_at)
            elif policy == "OldestInstance":
                keys.append(lambda one: one.launched_at)
            else:
                keys.append(lambda one, zones=zones: -zones.count(one.availability_zone))
                keys.append(
                    lambda one: launch_spec.matches_specification(group, one, launch_spec.launch_specification(group))
                )
        one = min(left, key=lambda one: (one.health_status == "Healthy", *(key(one) for key in keys), one.launched_at))
        left.remove(one)
        gone.append(one)
    return gone


def capture_state(group: Any) -> Any:
    """What a step may change, to know whether there is something to save."""
    members = [
        (one.instance_id, one.lifecycle_state, one.health_status, getattr(one, "in_service_at", None))
        for one in group.instance_states
    ]
    activities = getattr(group, "activities", [])
    registered = [(len(one.targets), len(targets.draining_targets(one))) for one in target_groups(group)]
    return members, len(activities), registered, [one.digest() for one in getattr(group, "refreshes", [])]
