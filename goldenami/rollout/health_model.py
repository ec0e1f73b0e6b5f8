"""Health gate of a rollout: the health of a new instance, sample by sample, and when it fails the rollout."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_CONSECUTIVE_FAILURES = 3  # failed probes in a row; a single one may be the network
_LAUNCH_TIMEOUT = 300.0  # seconds that EC2 may take from the launch to a running instance
_TERMINATING = ("Terminat", "Detach")


@dataclass(frozen=True)
class HealthSample:
    """State of a new instance at one moment.

    Attributes:
        lifecycle: Its lifecycle state in the group; empty once it has left the group.
        healthy: True if the group considers it healthy.
        target: Its state in the target group; empty without one.
        probe: True if it answered our own probe; None if it was not probed.
        detail: Result of the probe.
        restarts: Number of restarts of its service since boot; None if unknown.
        errors: Number of journal lines of its service at level `err` or worse since boot; None if unknown.
    """

    lifecycle: str
    healthy: bool = True
    target: str = ""
    probe: bool | None = None
    detail: str = ""
    restarts: int | None = None
    errors: int | None = None

    @property
    def is_terminated(self) -> bool:
        """True if the instance has left the group, or is leaving it."""
        return not self.lifecycle or self.lifecycle.startswith(_TERMINATING)

    @property
    def is_healthy(self) -> bool:
        """True if the group, the load balancer and our own probe agree that it is healthy."""
        return self.lifecycle == "InService" and self.healthy and self.target in ("", "healthy") and bool(self.probe)


@dataclass(frozen=True)
class InstanceHealth:
    """Health of a new instance so far. Times are seconds of the monotonic clock.

    Attributes:
        first_seen: When it appeared in the group.
        in_service_since: When the group first had it in service; None before that.
        healthy_since: When it was first healthy; None before that.
        consecutive_failures: Number of failed probes in a row since then.
        successes: Number of successful probes since then.
        last: The newest sample, with what older ones know and it does not.
        is_terminated: True once it has left the group.
    """

    id: str
    first_seen: float
    in_service_since: float | None = None
    healthy_since: float | None = None
    consecutive_failures: int = 0
    successes: int = 0
    last: HealthSample = HealthSample("Pending")
    is_terminated: bool = False


def add_sample(health: InstanceHealth, sample: HealthSample, now: float) -> InstanceHealth:
    """Return the health with another sample added."""
    if health.is_terminated:
        return health
    last = replace(
        sample,
        restarts=health.last.restarts if sample.restarts is None else sample.restarts,
        errors=health.last.errors if sample.errors is None else sample.errors,
        detail=sample.detail or health.last.detail,
    )
    updated = replace(health, last=last, is_terminated=sample.is_terminated)
    if health.in_service_since is None and sample.lifecycle == "InService":
        updated = replace(updated, in_service_since=now)
    if health.healthy_since is None:
        return replace(updated, healthy_since=now if sample.is_healthy else None)
    if sample.probe is None:
        return updated
    if sample.probe:
        return replace(updated, consecutive_failures=0, successes=health.successes + 1)
    return replace(updated, consecutive_failures=health.consecutive_failures + 1)


def failure_reason(
    health: InstanceHealth,
    now: float,
    grace: float,
    min_healthy_time: float = math.inf,
    max_errors: int | None = None,
    hook_timeout: float = 0,
) -> str:
    """Return why this instance fails the rollout; empty if it does not.

    Args:
        health: Its health so far.
        now: Seconds of the monotonic clock.
        grace: Seconds in service that a new instance has to become healthy.
        min_healthy_time: Seconds in service after which AWS replaces further instances, whatever its health.
        max_errors: Number of journal lines at level `err` or worse allowed since boot; None for any number.
        hook_timeout: Seconds that a lifecycle hook may hold it before it is in service.
    """
    last, age = health.last, now - health.first_seen
    in_service = 0.0 if health.in_service_since is None else now - health.in_service_since
    detail = f" ({last.detail})" if last.detail else ""
    if health.healthy_since is None:
        if last.is_terminated:
            return f"{health.id} left the group after {age:.0f} s without being healthy{detail}"
        if not last.healthy:
            return f"{health.id} is unhealthy in the group and was never healthy{detail}"
        if in_service > min(grace, min_healthy_time):
            limit = "grace period" if grace <= min_healthy_time else "minimum time before old instances are terminated"
            return f"{health.id} not healthy after {in_service:.0f} s in service ({limit}){detail}"
        if health.in_service_since is None and age > grace + hook_timeout + _LAUNCH_TIMEOUT:
            return f"{health.id} not in service after {age:.0f} s"
    elif last.is_terminated:
        if health.consecutive_failures or not last.healthy:
            return f"{health.id} was healthy, failed, and left the group{detail}"
    elif not last.healthy:
        return f"{health.id} became unhealthy {now - health.healthy_since:.0f} s after it was healthy{detail}"
    elif last.target == "unhealthy":
        after = now - health.healthy_since
        return f"{health.id} failed the load balancer's health check {after:.0f} s after it was healthy{detail}"
    elif health.consecutive_failures >= _CONSECUTIVE_FAILURES:
        after = now - health.healthy_since
        return f"{health.id} failed {_CONSECUTIVE_FAILURES} probes in a row, {after:.0f} s after it was healthy{detail}"
    if last.is_terminated:
        return ""
    if last.restarts:
        return f"the service on {health.id} was restarted {last.restarts} time(s) since boot"
    if max_errors is not None and (last.errors or 0) > max_errors:
        return (
            f"the service on {health.id} logged {last.errors} error(s) since boot; [promote] errors allows {max_errors}"
        )
    return ""
