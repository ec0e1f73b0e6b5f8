"""The health gate of a promotion: what is seen of a new instance, look by look, and when that is reason to turn back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_CONSECUTIVE_FAILURES = 3  # bad probes in a row; one may be luck of the network
_LAUNCH_TIMEOUT = 300.0  # seconds that EC2 may take from the launch to a running instance
_TERMINATING = ("Terminat", "Detach")


@dataclass(frozen=True)
class HealthSample:
    """What is seen of a new instance at one moment.

    Attributes:
        lifecycle: The group's word; empty when the instance is not in the group any more.
        healthy: What the group thinks of it.
        target: Its state in the target group; empty where there is none.
        probe: Whether it answered our own probe; None when it was not probed.
        detail: What the probe saw.
        restarts: How often its service was restarted since boot; None when nobody looked.
        errors: Lines of the service's journal at level `err` or worse since boot; None when nobody looked.
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
        """Whether the group has taken it out, or is about to."""
        return not self.lifecycle or self.lifecycle.startswith(_TERMINATING)


@dataclass(frozen=True)
class InstanceHealth:
    """What was seen of a new instance so far; times are seconds on the flow's clock.

    Attributes:
        since: When it was seen first.
        service: When the group first had it in service; None before that.
        green: When it was first well in every respect; None before that.
        strikes: Bad probes in a row since then.
        probes: How many probes it has answered, and how many it has not, since it was green.
    """

    id: str
    since: float
    service: float | None = None
    is_healthy: float | None = None
    consecutive_failures: int = 0
    good: int = 0
    bad: int = 0
    last: HealthSample = HealthSample("Pending")
    ended: bool = False


def add_sample(record: InstanceHealth, look: HealthSample, now: float) -> InstanceHealth:
    """The record with another look added."""
    if record.ended:
        return record
    merged = replace(
        look,
        restarts=record.last.restarts if look.restarts is None else look.restarts,
        errors=record.last.errors if look.errors is None else look.errors,
        detail=look.detail or record.last.detail,
    )
    if record.service is None and look.lifecycle == "InService":
        record = replace(record, service=now)
    well = look.lifecycle == "InService" and look.healthy and look.target in ("", "healthy") and look.probe is True
    if record.is_healthy is None:
        return replace(record, last=merged, is_healthy=now if well else None, ended=look.is_terminated)
    if look.probe is None:
        return replace(record, last=merged, ended=look.is_terminated)
    return replace(
        record,
        last=merged,
        consecutive_failures=0 if look.probe else record.consecutive_failures + 1,
        good=record.good + look.probe,
        bad=record.bad + (not look.probe),
        ended=look.is_terminated,
    )


def failure_reason(
    record: InstanceHealth, now: float, grace: float, hold: float = math.inf, errors: int | None = None
) -> str:
    """Why to turn back because of this instance; empty when there is no reason.

    Args:
        record: What was seen of it.
        now: Seconds on the flow's clock.
        grace: Seconds in service that a new instance has to become healthy.
        hold: Seconds in service after which others follow, or old ones go, whatever its health.
        errors: Lines at level `err` or worse that its service's journal may have since boot; any number when None.
    """
    last, age = record.last, now - record.since
    served = 0.0 if record.service is None else now - record.service
    seen = f" ({last.detail})" if last.detail else ""
    if record.is_healthy is None:
        if last.is_terminated:
            return f"{record.id} was taken out of service after {age:.0f} s and was never healthy{seen}"
        if not last.healthy:
            return f"{record.id} is unhealthy to the group, and never was healthy{seen}"
        if served > min(grace, hold):
            limit = "its grace period" if grace <= hold else "as long as the old instances are sure to wait for it"
            return f"{record.id} is not healthy after {served:.0f} s in service, {limit}{seen}"
        if record.service is None and age > grace + _LAUNCH_TIMEOUT:
            return f"{record.id} did not come into service within {age:.0f} s"
    elif last.is_terminated:
        if record.consecutive_failures or not last.healthy:
            return f"{record.id} was healthy, failed, and was taken out of service{seen}"
    elif not last.healthy:
        return f"{record.id} became unhealthy {now - record.is_healthy:.0f} s after it had been healthy{seen}"
    elif last.target == "unhealthy":
        return f"{record.id} fails the balancer's health check, {now - record.is_healthy:.0f} s after it had been healthy{seen}"
    elif record.consecutive_failures >= _CONSECUTIVE_FAILURES:
        return f"{record.id} stopped answering {now - record.is_healthy:.0f} s after it had been healthy{seen}"
    if last.restarts and not last.is_terminated:
        return f"the service of {record.id} was restarted {last.restarts} time(s) since it booted"
    if errors is not None and (last.errors or 0) > errors and not last.is_terminated:
        return f"the service of {record.id} logged {last.errors} error(s) since it booted; [promote] errors allows {errors}"
    return ""
