"""Registered targets and their health as it was probed; deregistered ones drain first. moto: healthy if registered.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

from moto.elbv2.exceptions import InvalidTargetError, TargetNotRunning
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup, elbv2_backends

from localcloud.core.cloud import machine_address
from localcloud.core.faults import Faults

_describe = ELBv2Backend.describe_target_groups
Key = tuple[str, str]  # (target group's ARN, target's id)
STATES = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.InvalidState": "Target is in the stopped state",
    "Target.NotRegistered": "Target is not registered to the target group",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.HealthCheckDisabled": "Health checks are disabled for this target",
    "Target.Timeout": "Request timed out",
    "Target.FailedHealthChecks": "Health checks failed",
}


@dataclass
class TargetHealth:
    """What the probes of one target found. Not kept: a restarted balancer looks again."""

    state: str = "initial"
    reason: str = "Elb.RegistrationInProgress"
    description: str = STATES["Elb.RegistrationInProgress"]
    passed: int = 0
    failed: int = 0
    next_at: float = 0.0
    busy: bool = False
    unhealthy_until: float = 0.0  # a fault that was asked for


class TargetHealthStore:
    """Health by target. Asked under the cloud's lock; probes write under a lock of their own."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._lock = threading.Lock()
        self._probed: dict[Key, TargetHealth] = {}
        self._routed: tuple[set[Key], set[Key]] = set(), set()  # what the balancer sends requests to; what it lets go
        self._data_plane = True

    def set_routing(self, served: set[Key], without: set[Key], *, works: bool) -> None:
        """What the balancer carried out: which targets it serves, and which draining ones get nothing any more."""
        self._routed, self._data_plane = (served, without), works

    def state(self, group: Any, target_id: str, *, probed_only: bool = False) -> tuple[str, str | None, str | None]:
        """(state, reason, description) as DescribeTargetHealth shows them: healthy when it gets requests, not before."""
        if target_id in draining_targets(group):
            return describe_state("draining", "Target.DeregistrationInProgress")
        if target_id not in group.targets:
            return describe_state("unused", "Target.NotRegistered")
        if not is_in_use(group):
            return describe_state("unused", "Target.NotInUse")
        instance = group.ec2_backend.get_instance_by_id(target_id)
        if instance is not None and instance.state in ("stopping", "stopped", "shutting-down", "terminated"):
            return describe_state("unused", "Target.InvalidState")
        if not group.health_check_enabled:
            return describe_state("unavailable", "Target.HealthCheckDisabled")
        with self._lock:
            probed = self._probed.get((group.arn, target_id)) or TargetHealth()
            if probed.state == "healthy":
                if probed_only or not self._data_plane or (group.arn, target_id) in self._routed[0]:
                    return "healthy", None, None
                return describe_state("initial", "Elb.RegistrationInProgress")
            return probed.state, probed.reason, probed.description

    def is_due(self, group: Any, target_id: str, now: float) -> bool:
        """Whether the target is to be probed now; it counts as being probed then."""
        with self._lock:
            if (key := (group.arn, target_id)) not in self._probed:
                self._probed[key] = TargetHealth()
                if fault := self._faults.consume("RegisterTargets", "sick_target"):
                    self._probed[key].unhealthy_until = now + (fault.seconds or math.inf)
            probed = self._probed[key]
            if probed.busy or now < probed.next_at:
                return False
            probed.busy = True
            probed.next_at = now + float(group.health_check_interval_seconds)
            return True

    def record(self, group: Any, target_id: str, reason: str, description: str) -> bool:
        """Take one probe's result ('' for passed). True when the state changed."""
        with self._lock:
            probed = self._probed.get((group.arn, target_id))
            if probed is None:
                return False
            before, probed.busy = probed.state, False
            if time.time() < probed.unhealthy_until:
                reason, description = "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]"
            if not reason:
                probed.passed, probed.failed = probed.passed + 1, 0
                # the first success is enough after the registration, the threshold counts after a failure
                if before == "initial" or (
                    before == "unhealthy" and probed.passed >= int(group.healthy_threshold_count)
                ):
                    probed.state = "healthy"
            else:
                probed.passed, probed.failed = 0, probed.failed + 1
                if probed.failed >= int(group.unhealthy_threshold_count):
                    probed.state, probed.reason, probed.description = "unhealthy", reason, description
                elif before == "initial":
                    _, probed.reason, probed.description = describe_state("initial", "Elb.InitialHealthChecking")  # type: ignore[assignment]
            return probed.state != before

    def is_drained(self, group: Any, target_id: str, now: float) -> bool:
        """Whether nothing of the target is in flight any more: its delay is over and the balancer let go of it."""
        entry = draining_targets(group).get(target_id)
        if entry is None:
            return target_id not in group.targets
        return now >= entry["until"] and self.is_unrouted(group, target_id)

    def is_unrouted(self, group: Any, target_id: str) -> bool:
        return not self._data_plane or not is_in_use(group) or (group.arn, target_id) in self._routed[1]

    def retain(self, known: set[Key]) -> None:
        """Drop the health of everything that is not registered (any more)."""
        with self._lock:
            for key in [key for key in self._probed if key not in known]:
                del self._probed[key]


def install(targets: TargetHealthStore) -> None:
    """Replace moto's methods by these. May be called again with other targets."""

    def register(self: Any, asked: list[dict[str, Any]]) -> None:
        for target in asked:
            instance = self.ec2_backend.get_instance_by_id(target["Id"])
            if target["Id"].startswith("i-") and instance is None:
                raise InvalidTargetError(f"The following targets do not exist: '{target['Id']}'")
            if instance is not None and instance.state != "running":
                raise TargetNotRunning(instance_id=target["Id"])
        for target in asked:
            draining_targets(self).pop(target["Id"], None)
            self.targets[target["Id"]] = {"Id": target["Id"], "Port": int(target.get("Port") or self.port)}

    def deregister(self: Any, asked: list[dict[str, Any]]) -> None:
        """moto: refuses what is not registered, which the real one takes for done.

        https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeregisterTargets.html
        """
        for target in asked:
            drain(self, target["Id"])

    def deregister_terminated(self: Any, instance_ids: list[str]) -> None:
        for instance_id in instance_ids:
            drain(self, instance_id)

    def health_for(self: Any, target: dict[str, Any], _: Any) -> FakeHealthStatus:
        known = self.targets.get(target["Id"]) or draining_targets(self).get(target["Id"]) or {}
        port = known.get("Port") or target.get("Port") or self.port
        check = port if self.health_check_port == "traffic-port" else self.health_check_port
        return FakeHealthStatus(target["Id"], port, str(check), *targets.state(self, target["Id"]))

    def describe_target_health(self: Any, arn: str, asked: list[dict[str, Any]]) -> list[FakeHealthStatus]:
        """moto: leaves out the draining ones when no target is named."""
        group = next(iter(self.describe_target_groups(None, [arn], None)))
        every = [*group.targets.values(), *draining_targets(group).values()]
        return [group.health_for(one, self.ec2_backend) for one in asked or every]

    def describe_target_groups(self: Any, *asked: Any, **named: Any) -> Any:
        for group in self.target_groups.values():
            group.load_balancer_arns = load_balancer_arns(group)
        return _describe(self, *asked, **named)

    ELBv2Backend.describe_target_groups = describe_target_groups
    FakeTargetGroup.register, FakeTargetGroup.deregister = register, deregister
    FakeTargetGroup.deregister_terminated_instances, FakeTargetGroup.health_for = deregister_terminated, health_for
    ELBv2Backend.describe_target_health = describe_target_health


def draining_targets(group: Any) -> dict[str, dict[str, Any]]:
    """Deregistered targets whose delay still runs: id -> Id, Port, until (epoch seconds)."""
    found: dict[str, dict[str, Any]] = vars(group).setdefault("draining", {})
    return found


def drain(group: Any, target_id: str) -> None:
    """Send a target no new requests, and let it finish those that it has."""
    if (target := group.targets.pop(target_id, None)) is None:
        return
    delay = float(group.attributes.get("deregistration_delay.timeout_seconds", 300))
    draining_targets(group)[target_id] = {**target, "until": time.time() + (delay if is_in_use(group) else 0)}


def is_in_use(group: Any) -> bool:
    """Whether a listener or rule forwards to the group."""
    return bool(elbv2_backend(group)._any_listener_using(group.arn))


def elbv2_backend(group: Any) -> Any:
    return elbv2_backends[group.account_id][group.region_name]


def target_address(group: Any, target: dict[str, Any]) -> tuple[str, int] | None:
    """Where a target's traffic goes; None while its machine has no address."""
    if not target["Id"].startswith("i-"):
        return target["Id"], int(target["Port"])
    instance = group.ec2_backend.get_instance_by_id(target["Id"])
    host = machine_address(instance) if instance is not None else None
    return (host, int(target["Port"])) if host else None


def load_balancer_arns(group: Any) -> list[str]:
    """ARNs of the balancers that forward to the group. moto writes them down once, and forgets none."""
    backend = elbv2_backend(group)
    return [
        balancer.arn
        for balancer in backend.load_balancers.values()
        if any(
            group.arn in backend._get_target_group_arns_from(action_data=action.data)
            for listener in balancer.listeners.values()
            for rule in listener.rules.values()
            for action in rule.actions
        )
    ]


def list_target_groups() -> list[Any]:
    return [
        one for _, _, backend in list(elbv2_backends.iter_backends()) for one in list(backend.target_groups.values())
    ]


def describe_state(state: str, reason: str) -> tuple[str, str | None, str | None]:
    return state, reason, STATES[reason]
