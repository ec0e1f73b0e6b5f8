"""The steps of an instance refresh and of its rollback: how many new members now, which old ones go now.

Kept from AWS's description: the desired configuration reaches the group only when the refresh succeeds; replacements
wait for warm-up and health; what fails is tried again for a while (AWS: one hour) before the refresh fails.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html
"""

from __future__ import annotations

import math
import os
from typing import Any

from moto.core.utils import utcnow

from localcloud.autoscaling import members
from localcloud.autoscaling.launch_spec import active_refresh, matches_specification, rollback_id
from localcloud.autoscaling.refresh_progress import RefreshProgress
from localcloud.elbv2.targets import TargetHealthStore

RETRY_SECONDS = 300.0  # AWS: one hour. GOLDENAMI_REFRESH_PATIENCE sets it.
TERMINATION_CAUSE = "an instance was taken out of service in response to an instance refresh."


def step(health: TargetHealthStore, group: Any, now: float) -> int:
    """Carry the group's active refresh on, and say how many members the group is to have now."""
    refresh = active_refresh(group)
    if refresh is None or group.status:
        return int(group.desired_capacity or 0)
    if refresh.status == "Pending":
        refresh.status = "InProgress"
    scene = RefreshProgress.measure(health, group, refresh, now)
    if refresh.status == "Cancelling":
        return cancel(group, refresh, scene)
    update_progress(refresh, scene)
    if check_failure(group, refresh, scene, now):
        return int(group.desired_capacity or 0)
    if refresh.status == "Baking":
        if now >= (refresh.baking_until or 0) and not scene.not_ready:
            succeed(group, refresh)
        return scene.desired
    if not scene.stale and not scene.not_ready and not scene.moving and len(scene.updated_members) >= scene.desired:
        finish(group, refresh, now)
        return scene.desired
    allowed = scene.desired if refresh.status == "RollbackInProgress" else checkpoint_limit(refresh, scene, now)
    if (
        refresh.status == "InProgress"
        and refresh.checkpoint >= len(checkpoint_percentages(refresh))
        and not scene.moving
    ):
        succeed(group, refresh)  # the last checkpoint was below 100: the others stay as they are
        return scene.desired
    if not members.are_processes_active(group, "InstanceRefresh"):
        return len(scene.updated_members) + len(scene.stale)
    return replace(group, refresh, scene, allowed)


def replace(group: Any, refresh: Any, scene: RefreshProgress, allowed: int) -> int:
    """Terminate stale members where that is allowed; the size that the group is to have now."""
    desired = scene.desired
    small, over = capacity_bounds(refresh, desired)
    stale = [one for one in scene.stale if one not in scene.excluded]
    stale.sort(key=lambda one: (one.instance_id in scene.ready, one.launched_at))
    keep, ready = desired - allowed, len(scene.ready)
    for member in stale:
        if len(scene.stale) <= keep or not members.are_processes_active(group, "Terminate"):
            break
        serves = member.instance_id in scene.ready
        if serves and ready - 1 < small:
            break
        members.terminate(group, member, TERMINATION_CAUSE)
        ready -= serves
        scene.stale.remove(member)
    missing = min(desired, allowed) - len(scene.updated_members)
    total = len(scene.updated_members) + len([one for one in scene.stale if one.lifecycle_state != "Standby"])
    room = desired + over - total
    return min(max(total + max(0, min(missing, room)), desired), desired + over)


def capacity_bounds(refresh: Any, desired: int) -> tuple[int, int]:
    """(how many must serve, how many may be there beyond the desired capacity)."""
    small = math.ceil(desired * int(refresh.preference("MinHealthyPercentage", 90)) / 100)
    large = refresh.preferences.get("MaxHealthyPercentage")
    if large is None:  # terminate and launch, at least one at a time
        return min(small, max(desired - 1, 0)), 0
    over = math.floor(desired * int(large) / 100) - desired
    if over <= 0 and small >= desired:
        over = 1  # both bounds cannot be kept: AWS launches first, for a time one more than desired
    return small, over


def checkpoint_limit(refresh: Any, scene: RefreshProgress, now: float) -> int:
    """How many members may be replaced up to the next checkpoint; pauses at a reached one."""
    points = checkpoint_percentages(refresh)
    while refresh.checkpoint < len(points):
        point = points[refresh.checkpoint]
        count: int = math.ceil(scene.desired * point / 100)
        if refresh.paused_until is not None:
            if now < refresh.paused_until:
                refresh.status_reason = f"Waiting at the checkpoint of {point} percent."
                return count
            refresh.paused_until, refresh.status_reason = None, None
            refresh.checkpoint += 1
            continue
        if scene.updated < count or len(scene.stale) > scene.desired - count or point == 100:
            return count
        while (
            refresh.checkpoint + 1 < len(points)
            and 100 * scene.updated >= points[refresh.checkpoint + 1] * scene.desired
        ):
            refresh.checkpoint += 1  # several reached at once: only the last one waits
        if points[refresh.checkpoint] == 100:
            return scene.desired
        refresh.paused_until = now + float(refresh.preference("CheckpointDelay", 3600))
    return math.ceil(scene.desired * points[-1] / 100)


def checkpoint_percentages(refresh: Any) -> list[int]:
    return [int(one) for one in refresh.preference("CheckpointPercentages", None) or [100]]


def finish(group: Any, refresh: Any, now: float) -> None:
    bake = float(refresh.preference("BakeTime", 0) or 0)
    if refresh.status == "RollbackInProgress":
        refresh.percentage_complete = 0
        refresh.end("RollbackSuccessful", refresh.rollback_details["RollbackReason"])
    else:
        refresh.percentage_complete, refresh.instances_to_update = 100, 0
        if bake:
            refresh.status, refresh.baking_until = "Baking", now + bake
        else:
            succeed(group, refresh)


def succeed(group: Any, refresh: Any) -> None:
    """Only now the desired configuration becomes the group's."""
    refresh.end("Successful")
    if refresh.desired_configuration:
        group._set_launch_configuration(None, dict(refresh.desired_configuration["LaunchTemplate"]), None)
        group.launch_config, group.launch_configuration_name = None, None


def cancel(group: Any, refresh: Any, scene: RefreshProgress) -> int:
    moving = [one for one in group.instance_states if one.lifecycle_state in ("Pending", "Terminating")]
    if not moving or not refresh.wait_for_transitioning:
        refresh.end("Cancelled", refresh.status_reason)
    return max(len(scene.updated_members) + len(scene.stale), scene.desired)


def check_failure(group: Any, refresh: Any, scene: RefreshProgress, now: float) -> bool:
    """Note what holds the refresh up; after the time for retries, fail it or roll it back."""
    problem = blocking_reason(group, refresh, scene)
    if not problem:
        refresh.stuck_since = None
        if scene.warming and refresh.paused_until is None:
            refresh.status_reason = (
                "Waiting for instances to warm up before continuing. "
                f"For example: {scene.warming[0].instance_id} is warming up."
            )
        elif refresh.paused_until is None:
            refresh.status_reason = (refresh.rollback_details or {}).get("RollbackReason")
        return False
    refresh.status_reason = problem
    refresh.stuck_since = now if refresh.stuck_since is None else refresh.stuck_since
    if now - refresh.stuck_since < float(os.environ.get("GOLDENAMI_REFRESH_PATIENCE") or RETRY_SECONDS):
        return False
    if refresh.status == "RollbackInProgress":
        refresh.end("RollbackFailed", f"The rollback failed. {problem}")
    elif refresh.preference("AutoRollback", False):
        roll_back(group, refresh, f"The instance refresh failed and is rolled back automatically. {problem}")
    else:
        refresh.end("Failed", f"The instance refresh failed. {problem}")
    return True


def blocking_reason(group: Any, refresh: Any, scene: RefreshProgress) -> str:
    """What keeps the refresh from going on and will not pass by itself; '' while all goes well."""
    for process in ("Launch", "Terminate", "InstanceRefresh"):
        if not members.are_processes_active(group, process):
            return f"The {process} process is suspended."
    if group.launch_failures:
        return f"Instances cannot be launched: {group.launch_problem}"
    ours = (rollback_id(refresh),) if refresh.status == "RollbackInProgress" else (refresh.instance_refresh_id,)
    for member in group.instance_states:
        if member.health_status != "Unhealthy" or member.refresh_id not in ours:
            continue
        refresh.sick = f"{member.instance_id} failed {member.unhealthy_cause or 'a health check'}."
    if scene.updated > refresh.best or scene.updated >= scene.desired:
        refresh.best, refresh.sick = scene.updated, ""
    if refresh.sick:
        return f"Replacements do not become healthy. For example: {refresh.sick}"
    others = [one for one in scene.stale if one not in scene.excluded]
    if (
        scene.excluded
        and not others
        and not scene.not_ready
        and len(scene.updated_members) + len(scene.excluded) >= scene.desired
    ):
        member = scene.excluded[0]
        how = "in Standby state" if member.lifecycle_state == "Standby" else "protected from scale in"
        return f"Waiting for instances that cannot be replaced. For example: {member.instance_id} is {how}."
    return ""


def update_progress(refresh: Any, scene: RefreshProgress) -> None:
    """PercentageComplete and InstancesToUpdate."""
    if refresh.status == "RollbackInProgress":
        left = len(scene.stale) + len(scene.not_ready)
        before = refresh.rollback_details["PercentageCompleteOnRollback"]
        refresh.percentage_complete = min(before, percent(left, scene.desired))
        return
    if refresh.status != "Baking":
        refresh.instances_to_update = max(len(scene.stale), scene.desired - scene.updated, 0)
        refresh.percentage_complete = percent(scene.desired - refresh.instances_to_update, scene.desired)


def percent(part: int, whole: int) -> int:
    return min(100, max(0, 100 * part // whole)) if whole else 100


# --- what starts and turns a refresh ---


def begin(group: Any, refresh: Any) -> None:
    """Take down which members match already (SkipMatching)."""
    members.ensure_fields(group)
    if refresh.preference("SkipMatching", False):
        refresh.already = [
            one.instance_id for one in group.instance_states if matches_specification(group, one, refresh.specification)
        ]
    refresh.instances_to_update = max(0, len(group.instance_states) - len(refresh.already))
    group.launch_failures, group.launch_again_at = 0, 0.0


def roll_back(group: Any, refresh: Any, reason: str) -> None:
    refresh.rollback_details = {
        "RollbackReason": reason,
        "RollbackStartTime": utcnow(),
        "PercentageCompleteOnRollback": refresh.percentage_complete,
        "InstancesToUpdateOnRollback": refresh.instances_to_update,
    }
    refresh.status, refresh.status_reason = "RollbackInProgress", reason
    refresh.stuck_since, refresh.paused_until, refresh.best, refresh.sick = None, None, 0, ""
    group.launch_failures, group.launch_again_at = 0, 0.0
