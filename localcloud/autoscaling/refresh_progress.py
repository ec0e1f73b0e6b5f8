"""The members of a group as an instance refresh (or its rollback) sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localcloud.autoscaling import members
from localcloud.autoscaling.launch_spec import rollback_id
from localcloud.elbv2.targets import TargetHealthStore, is_in_use


@dataclass
class RefreshProgress:
    """The members of a group, as a refresh (or its rollback) sees them."""

    desired: int
    updated_members: list[Any]  # as they shall be
    stale: list[Any]  # to be replaced
    excluded: list[Any]  # to be replaced, but protected from scale-in or in standby
    not_ready: list[Any]  # fresh, but not (yet) healthy and warm
    ready: set[str]  # ids of the members that serve, fresh or stale
    moving: bool  # members still leave
    warming: list[Any]
    updated: int  # fresh and ready, brought by this refresh

    @classmethod
    def measure(cls, health: TargetHealthStore, group: Any, refresh: Any, now: float) -> RefreshProgress:
        warmup = float(refresh.preference("InstanceWarmup", 0) or 0)
        scene = cls(int(group.desired_capacity or 0), [], [], [], [], set(), False, [], 0)
        back = refresh.status == "RollbackInProgress"
        for member in group.instance_states:
            if member.lifecycle_state == "Terminating":
                scene.moving = True
                continue
            ours = member.refresh_id == refresh.instance_refresh_id
            good = not ours if back else ours or member.instance_id in refresh.already
            is_ready = member.lifecycle_state == "InService" and is_healthy(health, group, member)
            if (
                is_ready
                and (ours or member.refresh_id == rollback_id(refresh))
                and now - (member.in_service_at or now) < warmup
            ):
                is_ready = False
                scene.warming.append(member)
            if is_ready:
                scene.ready.add(member.instance_id)
            if good:
                if member.lifecycle_state == "Standby":
                    continue
                scene.updated_members.append(member)
                if is_ready:
                    scene.updated += 1
                else:
                    scene.not_ready.append(member)
            else:
                behaviour = excluded_behaviour(refresh, member)
                if behaviour == "Ignore":
                    if member.lifecycle_state != "Standby":
                        scene.updated_members.append(member)
                        scene.updated += 1
                elif behaviour == "Wait":
                    scene.excluded.append(member)
                    scene.stale.append(member)
                else:
                    scene.stale.append(member)
        return scene


def excluded_behaviour(refresh: Any, member: Any) -> str | None:
    """Ignore, Wait, or None for a stale member that may be replaced."""
    behaviour = None
    if member.lifecycle_state == "Standby":
        behaviour = refresh.preference("StandbyInstances", "Wait")
    elif member.protected_from_scale_in:
        behaviour = refresh.preference("ScaleInProtectedInstances", "Wait")
    return behaviour if behaviour in ("Ignore", "Wait") else None


def is_healthy(health: TargetHealthStore, group: Any, member: Any) -> bool:
    """Healthy, also to its load balancer where the group asks for that."""
    if member.health_status != "Healthy" or member.instance.state != "running":
        return False
    if "ELB" not in (group.health_check_type or ""):
        return True
    return all(
        not is_in_use(one) or health.state(one, member.instance_id)[0] in ("healthy", "unavailable")
        for one in members.target_groups(group)
    )
