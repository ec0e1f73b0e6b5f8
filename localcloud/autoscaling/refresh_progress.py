"""Progress of an instance refresh, or of its rollback: which members are updated, stale, ready or warming up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localcloud.autoscaling import members
from localcloud.autoscaling.launch_spec import rollback_id
from localcloud.elbv2.target_health import TargetHealthStore
from localcloud.elbv2.targets import is_in_use


@dataclass
class RefreshProgress:
    """The members of a group by their part in a refresh or in its rollback."""

    desired: int
    updated_members: list[Any]  # with the configuration that the refresh brings in
    stale: list[Any]  # to be replaced
    excluded: list[Any]  # to be replaced, but protected from scale in or in standby
    not_ready: list[Any]  # updated, but not yet healthy and warmed up
    ready: set[str]  # ids of the members in service, updated or stale
    moving: bool  # True while members terminate
    warming: list[Any]
    updated: int  # number of members that are updated and ready

    @classmethod
    def measure(cls, health: TargetHealthStore, group: Any, refresh: Any, now: float) -> RefreshProgress:
        """Return the progress at `now` (epoch seconds)."""
        warmup = float(refresh.preference("InstanceWarmup", 0) or 0)
        progress = cls(int(group.desired_capacity or 0), [], [], [], [], set(), False, [], 0)
        rolls_back = refresh.status == "RollbackInProgress"
        for member in group.instance_states:
            if member.terminating:
                progress.moving = True
                continue
            launched = member.refresh_id == refresh.instance_refresh_id
            is_updated = not launched if rolls_back else launched or member.instance_id in refresh.matching_ids
            is_ready = member.lifecycle_state == "InService" and is_healthy(health, group, member)
            if (
                is_ready
                and (launched or member.refresh_id == rollback_id(refresh))
                and now - (member.in_service_at or now) < warmup
            ):
                is_ready = False
                progress.warming.append(member)
            if is_ready:
                progress.ready.add(member.instance_id)
            if is_updated:
                if member.standby:
                    continue
                progress.updated_members.append(member)
                if is_ready:
                    progress.updated += 1
                else:
                    progress.not_ready.append(member)
            else:
                behaviour = excluded_behaviour(refresh, member)
                if behaviour == "Ignore":
                    if not member.standby:
                        progress.updated_members.append(member)
                        progress.updated += 1
                elif behaviour == "Wait":
                    progress.excluded.append(member)
                    progress.stale.append(member)
                else:
                    progress.stale.append(member)
        return progress


def excluded_behaviour(refresh: Any, member: Any) -> str | None:
    """Return Ignore or Wait for a stale member that must not be replaced, else None."""
    behaviour = None
    if member.standby:
        behaviour = refresh.preference("StandbyInstances", "Wait")
    elif member.protected_from_scale_in:
        behaviour = refresh.preference("ScaleInProtectedInstances", "Wait")
    return behaviour if behaviour in ("Ignore", "Wait") else None


def is_healthy(health: TargetHealthStore, group: Any, member: Any) -> bool:
    """Return True if the member is healthy, also to its load balancer if the group uses ELB health checks."""
    if member.health_status != "Healthy" or member.instance.state != "running":
        return False
    if "ELB" not in (group.health_check_type or ""):
        return True
    return all(
        not is_in_use(target_group) or health.state(target_group, member.instance_id)[0] in ("healthy", "unavailable")
        for target_group in members.target_groups(group)
    )


def update_progress(refresh: Any, progress: RefreshProgress) -> None:
    """Update PercentageComplete and InstancesToUpdate."""
    if refresh.status == "RollbackInProgress":
        left = len(progress.stale) + len(progress.not_ready)
        before = refresh.rollback_details["PercentageCompleteOnRollback"]
        refresh.percentage_complete = min(before, percent(left, progress.desired))
        return
    if refresh.status != "Baking":
        refresh.instances_to_update = max(len(progress.stale), progress.desired - progress.updated, 0)
        refresh.percentage_complete = percent(progress.desired - refresh.instances_to_update, progress.desired)


def percent(part: int, total: int) -> int:
    return min(100, max(0, 100 * part // total)) if total else 100
