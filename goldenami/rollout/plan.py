"""How fast the instances are renewed: the canary, the watch, and what never happens before what."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from goldenami.model import prices
from goldenami.model.fleet import RefreshPreferences
from goldenami.model.resources import VcpuQuota
from goldenami.rollout.request_model import RolloutRequest

_SMALL_FLEET = 5  # up to so many instances, the fleet may double while it is renewed


def preferences(desired: int, request: RolloutRequest, *, can_return: bool = True) -> RefreshPreferences:
    """How to renew a group of this size so that no healthy instance leaves before a new one has taken its place.

    The minimum is always all of them, so each replacement is launched first. A fleet of one has no part that could be a
    canary; there, the warm-up lasts as long as the watch, during which the old instance stays beside the new one.
    """
    most = 200 if desired <= _SMALL_FLEET else 125
    rest: dict[str, Any] = {"auto_rollback": can_return, "alarms": request.alarms}
    if desired <= 1:
        return RefreshPreferences(100, most, max(request.warmup, request.watch), **rest)
    if request.canary in (0, 100):
        return RefreshPreferences(100, most, request.warmup, bake_time=request.watch, **rest)
    count = min(desired - 1, max(1, math.ceil(desired * request.canary / 100)))
    # Rounded down, so that the checkpoint is reached by the canary itself and not by one instance more.
    first = max(1, 100 * count // desired)
    return RefreshPreferences(
        100,
        most,
        request.warmup,
        checkpoints=(first, 100),
        delay=request.watch,
        bake_time=min(request.watch, 60),
        **rest,
    )


def min_healthy_time(roll: RefreshPreferences) -> float:
    """Seconds that a new instance is in service before others follow it or old ones go, less a margin to turn back in.

    AWS counts an instance as replaced once its warm-up is over; a load balancer's verdict counts only after the grace
    period. So an instance that is not healthy by then must be reason to turn back, or the old ones would go.
    """
    held = roll.warmup + (roll.delay if roll.checkpoints else 0)
    return held - max(3.0, min(10.0, 0.1 * held))


def estimate_traffic_shift(steps: int, watch: int, boot: float = 30) -> float:
    """About how many seconds the traffic's way through so many weights takes."""
    return boot + steps * watch if steps else 0.0


def estimate_refresh(desired: int, roll: RefreshPreferences, boot: float = 30) -> float:
    """About how many seconds the roll takes, with so many for an instance to boot."""
    rounds = 2 if roll.checkpoints else 1
    return (rounds * (boot + roll.warmup) + rounds * roll.delay + roll.bake_time) if desired else 0.0


def canary_count(desired: int, roll: RefreshPreferences) -> int:
    """How many instances are renewed before the others follow."""
    if not roll.checkpoints:
        return desired
    return max(1, math.ceil(desired * roll.checkpoints[0] / 100))


@dataclass(frozen=True)
class SurgeCapacity:
    """The instances that run beside the fleet.

    Attributes:
        most: How many at once.
        hours: Instance-hours in all, estimated.
    """

    most: int
    hours: float

    def dollars(self, region: str, kind: str) -> float | None:
        """What they cost; None where the table of prices does not know it."""
        known = prices.for_region(region)
        price = known.instance(kind) if known else None
        return None if price is None else self.hours * price


def surge_capacity(desired: int, roll: RefreshPreferences, traffic: tuple[int, ...], watch: int) -> SurgeCapacity:
    """What a roll needs: as many as AWS may launch before it terminates, and a trial as large as the fleet."""
    spare = math.ceil(desired * (roll.max_healthy - 100) / 100)
    rolling = estimate_refresh(desired, roll)
    trial = desired if traffic else 0
    whole = estimate_traffic_shift(len(traffic), watch) + rolling
    return SurgeCapacity(spare + trial, (spare * rolling + trial * whole) / 3600)


def quota_blockers(room: VcpuQuota, needed: SurgeCapacity) -> Iterator[str]:
    """Why the account has no room for it."""
    more = needed.most * room.vcpus_per_instance
    if room.quota is not None and room.used + more > room.quota:
        yield (
            f"the account may run {room.quota} vCPUs of on-demand standard instances (quota L-1216C47A) and runs"
            f" {room.used}: no room for {needed.most} more instance(s) with {more} vCPUs; ask for more in Service Quotas"
        )


def quota_warnings(room: VcpuQuota) -> Iterator[str]:
    """What could not be looked at."""
    if room.quota is None:
        yield (
            f"the account's quota of vCPUs cannot be read (servicequotas:GetServiceQuota), so its room was not checked;"
            f" {room.used} run now"
        )
