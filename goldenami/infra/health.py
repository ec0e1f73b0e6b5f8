"""HTTP health checks of a single instance, as a load balancer does them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from goldenami.aws import instances
from goldenami.context import Context
from goldenami.errors import GateError
from goldenami.recipe.recipe import Recipe
from goldenami.state.lock import HeldLock
from goldenami.tools import http
from goldenami.tools.clock import poll

_HEALTHY_THRESHOLD = 3  # consecutive successes; a single one may be luck


@dataclass
class HealthProbe:
    """A repeated probe of an instance; counts consecutive successes."""

    recipe: Recipe
    address: str
    successes: int = 0
    detail: str = "not probed yet"

    def check(self) -> bool:
        """Probe once and return True if the instance is healthy."""
        result = probe_instance(self.recipe, self.address)
        self.successes = self.successes + 1 if result.ok else 0
        self.detail = result.detail
        return self.is_healthy

    @property
    def url(self) -> str:
        """URL of the health path."""
        return health_url(self.recipe, self.address)

    @property
    def is_healthy(self) -> bool:
        """True if the last probes succeeded, as many as the threshold requires."""
        return self.successes >= _HEALTHY_THRESHOLD


def health_url(recipe: Recipe, address: str) -> str:
    """Return the URL of the health path at an instance's address."""
    return f"http://{address}:{recipe.app.port}{recipe.app.health}"


def probe_instance(recipe: Recipe, address: str, timeout: float = 5) -> http.Probe:
    """Probe the health path of an instance, then make the recipe's checks; return the first failure, else the probe's result."""
    result = http.probe(health_url(recipe, address), timeout=timeout)
    for check in recipe.checks if result.ok else ():
        url = f"http://{address}:{recipe.app.port}{check.path}"
        checked = http.check(url, status=check.status, contains=check.contains, max_seconds=check.max_seconds)
        if not checked.ok:
            return checked
    return result


def wait_until_instance_healthy(
    ctx: Context, held_lock: HeldLock, instance: str, *, grace: float, watch: float = 0
) -> float:
    """Wait until an instance is running and healthy, then watch it.

    Args:
        grace: Seconds that it has to become healthy.
        watch: Seconds that it must stay healthy.

    Returns:
        Seconds until it was healthy.

    Raises:
        AwsError: It did not reach the state `running`.
        GateError: It is not healthy in time, or does not stay healthy.
    """
    health = HealthProbe(ctx.recipe, instances.wait_running(ctx.aws, ctx.clock, instance).address)
    healthy_after: float | None = None
    for elapsed in poll(ctx.clock, timeout=math.inf, every=1):
        held_lock.heartbeat()
        if health.check():
            healthy_after = elapsed if healthy_after is None else healthy_after
            if elapsed - healthy_after >= watch:
                return healthy_after
        elif healthy_after is not None:
            raise GateError(
                f"{instance} failed a probe {elapsed - healthy_after:.0f} s after it was healthy ({health.detail})"
            )
        elif elapsed > grace:
            break
    raise GateError(f"{instance} is not healthy after {grace} s ({health.detail})")
