"""Pace of a rollout: preferences of the instance refresh, estimated durations, and the capacity it needs. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from goldenami.model import prices
from goldenami.model.auto_scaling import RefreshPreferences
from goldenami.model.resources import VcpuQuota
from goldenami.rollout.request_model import RolloutRequest

_SMALL_FLEET = 5  # a fleet of at most this size may double during an instance refresh


def refresh_preferences(
    desired: int, request: RolloutRequest, *, can_roll_back: bool = True, kept: int = 0
) -> RefreshPreferences:
    """Return the preferences for a group of this size so that no healthy instance leaves before its replacement is healthy.

    The minimum is always 100 %, so each replacement is launched first. A single instance has no canary: its warm-up lasts as
    long as it is monitored, and the old instance stays beside it.

    Args:
        kept: Number of instances in service that the refresh leaves as they are. AWS may count them as updated, so the
            checkpoint lies beyond them.
    """
    max_healthy = 200 if desired <= _SMALL_FLEET else 125
    rest: dict[str, Any] = {"auto_rollback": can_roll_back, "alarms": request.alarms}
    replaced = desired - kept
    if replaced <= 1:
        return RefreshPreferences(100, max_healthy, max(request.warmup, request.watch), **rest)
    if request.canary in (0, 100):
        return RefreshPreferences(100, max_healthy, request.warmup, bake_time=request.watch, **rest)
    count = kept + min(replaced - 1, max(1, math.ceil(replaced * request.canary / 100)))
    # Rounded down, so that the canary alone reaches the checkpoint.
    first = max(1, 100 * count // desired)
    return RefreshPreferences(
        100,
        max_healthy,
        request.warmup,
        checkpoints=(first, 100),
        delay=request.watch,
        bake_time=min(request.watch, 60),
        **rest,
    )


def min_healthy_time(preferences: RefreshPreferences) -> float:
    """Return the seconds in service before AWS replaces further instances, less a margin to roll back in.

    AWS counts an instance as replaced once its warm-up is over; the load balancer's health check counts only after the grace
    period. So the rollout must fail if an instance is not healthy by then, or healthy old ones would be terminated.
    """
    held = preferences.warmup + (preferences.delay if preferences.checkpoints else 0)
    return held - max(3.0, min(10.0, 0.1 * held))


def estimate_traffic_shift(steps: int, watch: int, boot: float = 30) -> float:
    """Return the estimated seconds of a traffic shift of this many steps."""
    return boot + steps * watch if steps else 0.0


def estimate_refresh(desired: int, preferences: RefreshPreferences, boot: float = 30) -> float:
    """Return the estimated seconds of an instance refresh, where an instance boots in `boot` seconds."""
    if not desired:
        return 0.0
    rounds = 2 if preferences.checkpoints else 1
    return rounds * (boot + preferences.warmup + preferences.delay) + preferences.bake_time


def canary_count(desired: int, preferences: RefreshPreferences) -> int:
    """Return the number of instances that are replaced before the others."""
    if not preferences.checkpoints:
        return desired
    return max(1, math.ceil(desired * preferences.checkpoints[0] / 100))


@dataclass(frozen=True)
class SurgeCapacity:
    """Instances that run beside the fleet during a rollout.

    Attributes:
        instances: Maximum number at one time.
        instance_hours: Estimated instance-hours in total.
    """

    instances: int
    instance_hours: float

    def dollars(self, region: str, instance_type: str) -> float | None:
        """Return their price in US dollars; None if it is unknown."""
        known = prices.for_region(region)
        price = known.instance(instance_type) if known else None
        return None if price is None else self.instance_hours * price


def surge_capacity(
    desired: int, preferences: RefreshPreferences, traffic: tuple[int, ...], watch: int
) -> SurgeCapacity:
    """Return what a rollout needs: the instances that AWS launches before it terminates, and the canary group."""
    surge = math.ceil(desired * (preferences.max_healthy - 100) / 100)
    refresh = estimate_refresh(desired, preferences)
    canary = desired if traffic else 0
    total = estimate_traffic_shift(len(traffic), watch) + refresh
    return SurgeCapacity(surge + canary, (surge * refresh + canary * total) / 3600)


def quota_blockers(quota: VcpuQuota, surge: SurgeCapacity) -> Iterator[str]:
    """Yield why the account's vCPU quota does not suffice."""
    vcpus = surge.instances * quota.vcpus_per_instance
    if quota.quota is not None and quota.used + vcpus > quota.quota:
        yield (
            f"vCPU quota exceeded: {quota.used} of {quota.quota} vCPUs of on-demand standard instances are in use (quota"
            f" L-1216C47A), no room for {surge.instances} more instance(s) with {vcpus} vCPUs; request an increase in"
            " Service Quotas"
        )


def quota_warnings(quota: VcpuQuota) -> Iterator[str]:
    """Yield a warning if the quota could not be read."""
    if quota.quota is None:
        yield (
            "the account's vCPU quota cannot be read (servicequotas:GetServiceQuota), so it was not checked;"
            f" {quota.used} vCPUs are in use"
        )
