"""What a promotion needs beside the fleet while it lasts: instances, the account's room for them, and their price."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from goldenami.model import prices
from goldenami.rollout.plan import Preferences, estimate, shifting


@dataclass(frozen=True)
class Room:
    """The account's room for on-demand instances of the standard families, in vCPUs.

    Attributes:
        quota: How many may run at once; None where that cannot be read.
        used: How many run now.
        each: How many one instance of the fleet has.
    """

    quota: int | None
    used: int
    each: int


@dataclass(frozen=True)
class Surge:
    """The instances that run beside the fleet.

    Attributes:
        most: How many at once.
        hours: Instance-hours in all, estimated.
    """

    most: int
    hours: float

    def dollars(self, region: str, kind: str) -> float | None:
        """What they cost; None where the table of prices does not know it."""
        known = prices.table(region)
        price = known.instance(kind) if known else None
        return None if price is None else self.hours * price


def surge(desired: int, roll: Preferences, traffic: tuple[int, ...], watch: int) -> Surge:
    """What a roll needs: as many as AWS may launch before it terminates, and a trial as large as the fleet."""
    spare = math.ceil(desired * (roll.max_healthy - 100) / 100)
    rolling = estimate(desired, roll)
    trial = desired if traffic else 0
    whole = shifting(len(traffic), watch) + rolling
    return Surge(spare + trial, (spare * rolling + trial * whole) / 3600)


def refusals(room: Room, needed: Surge) -> Iterator[str]:
    """Why the account has no room for it."""
    more = needed.most * room.each
    if room.quota is not None and room.used + more > room.quota:
        yield (
            f"the account may run {room.quota} vCPUs of on-demand standard instances (quota L-1216C47A) and runs"
            f" {room.used}: no room for {needed.most} more instance(s) with {more} vCPUs; ask for more in Service Quotas"
        )


def notes(room: Room) -> Iterator[str]:
    """What could not be looked at."""
    if room.quota is None:
        yield (
            f"the account's quota of vCPUs cannot be read (servicequotas:GetServiceQuota), so its room was not checked;"
            f" {room.used} run now"
        )
