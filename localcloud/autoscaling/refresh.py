"""The steps of an instance refresh and of its rollback: the number of new members, and the old ones to terminate. As on AWS, the
group gets the desired configuration only when the refresh succeeds, replacements wait for warm-up and health, and a failing
step is retried for some time (on AWS one hour) before the refresh fails.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html"""

from __future__ import annotations

import math
import os
from typing import Any

from moto.core.utils import utcnow

from localcloud.autoscaling import members
from localcloud.autoscaling.launch_spec import active_refresh, matches_specification, rollback_id
from localcloud.autoscaling.refresh_progress import RefreshProgress, update_progress
from localcloud.elbv2.target_health import TargetHealthStore

RETRY_SECONDS = 300.0  # AWS: one hour. GOLDENAMI_REFRESH_TIMEOUT overrides it.
TERMINATION_CAUSE = "an instance was taken out of service in response to an instance refresh."


def step(health: TargetHealthStore, group: Any, now: float) -> int:
    """Do one step of the group's active refresh. Return the number of members that the group should have now."""
    refresh = active_refresh(group)
    if refresh is None or group.status:
        return int(group.desired_capacity or 0)
    if refresh.status == "Pending":
        refresh.status = "InProgress"
    progress = RefreshProgress.measure(health, group, refresh, now)
    if refresh.status == "Cancelling":
        return cancel(group, refresh, progress)
    update_progress(refresh, progress)
    if check_failure(group, refresh, progress, now):
        return int(group.desired_capacity or 0)
    if refresh.status == "Baking":
        if now >= (refresh.baking_until or 0) and not progress.not_ready:
            succeed(group, refresh)
        return progress.desired
    settled = not progress.stale and not progress.not_ready and not progress.moving
    if settled and len(progress.updated_members) >= progress.desired:
        finish(group, refresh, now)
        return progress.desired
    allowed = progress.desired if refresh.status == "RollbackInProgress" else checkpoint_limit(refresh, progress, now)
    passed = refresh.checkpoint >= len(checkpoint_percentages(refresh))
    if refresh.status == "InProgress" and passed and not progress.moving:
        succeed(group, refresh)  # the last checkpoint was below 100: the remaining members are not replaced
        return progress.desired
    if not members.are_processes_active(group, "InstanceRefresh"):
        return len(progress.updated_members) + len(progress.stale)
    return replace(group, refresh, progress, allowed)


def replace(group: Any, refresh: Any, progress: RefreshProgress, allowed: int) -> int:
    """Terminate stale members as far as allowed. Return the number of members that the group should have now."""
    desired = progress.desired
    min_healthy, surplus = capacity_bounds(refresh, desired)
    stale = [member for member in progress.stale if member not in progress.excluded]
    stale.sort(key=lambda member: (member.instance_id in progress.ready, member.launched_at))
    keep, ready = desired - allowed, len(progress.ready)
    for member in stale:
        if len(progress.stale) <= keep or not members.are_processes_active(group, "Terminate"):
            break
        if (serves := member.instance_id in progress.ready) and ready - 1 < min_healthy:
            break
        members.terminate(group, member, TERMINATION_CAUSE)
        ready -= serves
        progress.stale.remove(member)
    missing = min(desired, allowed) - len(progress.updated_members)
    total: int = len(progress.updated_members) + sum(not member.standby for member in progress.stale)
    room = desired + surplus - total
    return min(max(total + max(0, min(missing, room)), desired), desired + surplus)


def capacity_bounds(refresh: Any, desired: int) -> tuple[int, int]:
    """Return the minimum of healthy members, and the maximum of members beyond the desired capacity.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/understand-instance-refresh-default-values.html"""
    min_healthy = math.ceil(desired * int(refresh.preference("MinHealthyPercentage", 90)) / 100)
    max_percentage = refresh.preferences.get("MaxHealthyPercentage")
    if max_percentage is None:  # terminate before launching, at least one at a time
        return min(min_healthy, max(desired - 1, 0)), 0
    surplus = math.floor(desired * int(max_percentage) / 100) - desired
    if surplus <= 0 and min_healthy >= desired:
        surplus = 1  # the bounds contradict each other: AWS launches one instance beyond the capacity first
    return min_healthy, surplus


def checkpoint_limit(refresh: Any, progress: RefreshProgress, now: float) -> int:
    """Return the number of members that may be replaced up to the next checkpoint. Pauses at a reached one."""
    points = checkpoint_percentages(refresh)
    while refresh.checkpoint < len(points):
        point = points[refresh.checkpoint]
        count: int = math.ceil(progress.desired * point / 100)
        if refresh.paused_until is not None:
            if now < refresh.paused_until:
                refresh.status_reason = f"Waiting at the checkpoint of {point} percent."
                return count
            refresh.paused_until, refresh.status_reason = None, None
            refresh.checkpoint += 1
            continue
        if progress.updated < count or len(progress.stale) > progress.desired - count or point == 100:
            return count
        while (
            refresh.checkpoint + 1 < len(points)
            and 100 * progress.updated >= points[refresh.checkpoint + 1] * progress.desired
        ):
            refresh.checkpoint += 1  # of several checkpoints reached at once, only the last one pauses
        if points[refresh.checkpoint] == 100:
            return progress.desired
        refresh.paused_until = now + float(refresh.preference("CheckpointDelay", 3600))
    return math.ceil(progress.desired * points[-1] / 100)


def checkpoint_percentages(refresh: Any) -> list[int]:
    """Return the refresh's checkpoints; 100 percent if it has none."""
    return [int(percentage) for percentage in refresh.preference("CheckpointPercentages", None) or [100]]


def finish(group: Any, refresh: Any, now: float) -> None:
    """End a refresh that has replaced all members, or begin its bake time."""
    bake = float(refresh.preference("BakeTime", 0) or 0)
    if refresh.status == "RollbackInProgress":
        refresh.percentage_complete = 0
        refresh.end("RollbackSuccessful", refresh.rollback_details["RollbackReason"])
    else:
        refresh.percentage_complete, refresh.instances_to_update = 100, 0
        if not bake:
            return succeed(group, refresh)
        refresh.status, refresh.baking_until = "Baking", now + bake


def succeed(group: Any, refresh: Any) -> None:
    """End the refresh and apply the desired configuration to the group."""
    refresh.end("Successful")
    if refresh.desired_configuration:
        group._set_launch_configuration(None, dict(refresh.desired_configuration["LaunchTemplate"]), None)
        group.launch_config, group.launch_configuration_name = None, None


def cancel(group: Any, refresh: Any, progress: RefreshProgress) -> int:
    """End a cancelled refresh once no member is in transition. Return the number of members that should stay."""
    moving = [member for member in group.instance_states if member.pending or member.terminating]
    if not moving or not refresh.wait_for_transitioning:
        refresh.end("Cancelled", refresh.status_reason)
    return max(len(progress.updated_members) + len(progress.stale), progress.desired)


def check_failure(group: Any, refresh: Any, progress: RefreshProgress, now: float) -> bool:
    """Record what blocks the refresh; after the time for retries, fail it or roll it back. Return True then."""
    problem = blocking_reason(group, refresh, progress)
    if not problem:
        refresh.stuck_since = None
        if progress.warming and refresh.paused_until is None:
            example = f"For example: {progress.warming[0].instance_id} is warming up."
            refresh.status_reason = f"Waiting for instances to warm up before continuing. {example}"
        elif refresh.paused_until is None:
            refresh.status_reason = (refresh.rollback_details or {}).get("RollbackReason")
        return False
    refresh.status_reason = problem
    refresh.stuck_since = now if refresh.stuck_since is None else refresh.stuck_since
    if now - refresh.stuck_since < float(os.environ.get("GOLDENAMI_REFRESH_TIMEOUT") or RETRY_SECONDS):
        return False
    if refresh.status == "RollbackInProgress":
        refresh.end("RollbackFailed", f"The rollback failed. {problem}")
    elif refresh.preference("AutoRollback", False):
        roll_back(group, refresh, f"The instance refresh failed and is rolled back automatically. {problem}")
    else:
        refresh.end("Failed", f"The instance refresh failed. {problem}")
    return True


def blocking_reason(group: Any, refresh: Any, progress: RefreshProgress) -> str:
    """Return what blocks the refresh and needs a change or a retry; an empty string if nothing does."""
    for process in ("Launch", "Terminate", "InstanceRefresh"):
        if not members.are_processes_active(group, process):
            return f"The {process} process is suspended."
    if group.launch_failures:
        return f"Instances cannot be launched: {group.launch_problem}"
    refresh_id = rollback_id(refresh) if refresh.status == "RollbackInProgress" else refresh.instance_refresh_id
    for member in group.instance_states:
        if member.health_status == "Unhealthy" and member.refresh_id == refresh_id:
            refresh.failure = f"{member.instance_id} failed {member.unhealthy_cause or 'a health check'}."
    if progress.updated > refresh.most_updated or progress.updated >= progress.desired:
        refresh.most_updated, refresh.failure = progress.updated, ""
    if refresh.failure:
        return f"Replacements do not become healthy. For example: {refresh.failure}"
    others = [member for member in progress.stale if member not in progress.excluded]
    complete = len(progress.updated_members) + len(progress.excluded) >= progress.desired
    if progress.excluded and not others and not progress.not_ready and complete:
        member = progress.excluded[0]
        state = "in Standby state" if member.standby else "protected from scale in"
        return f"Waiting for instances that cannot be replaced. For example: {member.instance_id} is {state}."
    return ""


def begin(group: Any, refresh: Any) -> None:
    """Begin a refresh: record which members match already (SkipMatching)."""
    members.ensure_fields(group)
    if refresh.preference("SkipMatching", False):
        matching = [m for m in group.instance_states if matches_specification(group, m, refresh.specification)]
        refresh.matching_ids = [member.instance_id for member in matching]
    refresh.instances_to_update = max(0, len(group.instance_states) - len(refresh.matching_ids))
    group.launch_failures, group.launch_again_at = 0, 0.0


def roll_back(group: Any, refresh: Any, reason: str) -> None:
    """Begin the rollback of a refresh."""
    refresh.rollback_details = {
        "RollbackReason": reason,
        "RollbackStartTime": utcnow(),
        "PercentageCompleteOnRollback": refresh.percentage_complete,
        "InstancesToUpdateOnRollback": refresh.instances_to_update,
    }
    refresh.status, refresh.status_reason = "RollbackInProgress", reason
    refresh.stuck_since, refresh.paused_until, refresh.most_updated, refresh.failure = None, None, 0, ""
    group.launch_failures, group.launch_again_at = 0, 0.0
