"""How fast the instances are renewed: the canary, the watch, and what never happens before what."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from goldenami.rollout.request_model import Wish

_SMALL = 5  # up to so many instances, the fleet may double while it is renewed


@dataclass(frozen=True)
class Preferences:
    """How the instance refresh goes, in the words of its API."""

    min_healthy: int
    max_healthy: int
    warmup: int
    checkpoints: tuple[int, ...] = ()
    delay: int = 0
    bake: int = 0
    auto_rollback: bool = True
    alarms: tuple[str, ...] = ()


def preferences(desired: int, wish: Wish, *, can_return: bool = True) -> Preferences:
    """How to renew a group of this size so that no healthy instance leaves before a new one has taken its place.

    The minimum is always all of them, so each replacement is launched first. A fleet of one has no part that could be a
    canary; there, the warm-up lasts as long as the watch, during which the old instance stays beside the new one.
    """
    most = 200 if desired <= _SMALL else 125
    rest: dict[str, Any] = {"auto_rollback": can_return, "alarms": wish.alarms}
    if desired <= 1:
        return Preferences(100, most, max(wish.warmup, wish.watch), **rest)
    if wish.canary in (0, 100):
        return Preferences(100, most, wish.warmup, bake=wish.watch, **rest)
    count = min(desired - 1, max(1, math.ceil(desired * wish.canary / 100)))
    # Rounded down, so that the checkpoint is reached by the canary itself and not by one instance more.
    first = max(1, 100 * count // desired)
    return Preferences(
        100, most, wish.warmup, checkpoints=(first, 100), delay=wish.watch, bake=min(wish.watch, 60), **rest
    )


def hold(roll: Preferences) -> float:
    """Seconds that a new instance is in service before others follow it or old ones go, less a margin to turn back in.

    AWS counts an instance as replaced once its warm-up is over; a load balancer's verdict counts only after the grace
    period. So an instance that is not healthy by then must be reason to turn back, or the old ones would go.
    """
    held = roll.warmup + (roll.delay if roll.checkpoints else 0)
    return held - max(3.0, min(10.0, 0.1 * held))


def shifting(steps: int, watch: int, boot: float = 30) -> float:
    """About how many seconds the traffic's way through so many weights takes."""
    return boot + steps * watch if steps else 0.0


def estimate(desired: int, roll: Preferences, boot: float = 30) -> float:
    """About how many seconds the roll takes, with so many for an instance to boot."""
    rounds = 2 if roll.checkpoints else 1
    return (rounds * (boot + roll.warmup) + rounds * roll.delay + roll.bake) if desired else 0.0


def canaries(desired: int, roll: Preferences) -> int:
    """How many instances are renewed before the others follow."""
    if not roll.checkpoints:
        return desired
    return max(1, math.ceil(desired * roll.checkpoints[0] / 100))
