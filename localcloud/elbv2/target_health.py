"""Registered targets and the health that probes found, and draining of deregistered targets. moto reports every registered target
as healthy. https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

from moto.elbv2.exceptions import InvalidTargetError, TargetNotRunning
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup

from localcloud.core.cloud import TERMINATED_STATES
from localcloud.core.faults import Faults
from localcloud.core.overrides import replace_methods
from localcloud.elbv2.targets import drain, draining_targets, is_in_use, load_balancer_arns

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
    """Health of one target. Not saved: a restarted load balancer probes again."""

    state: str = "initial"
    reason: str = "Elb.RegistrationInProgress"
    description: str = STATES["Elb.RegistrationInProgress"]
    passed: int = 0
    failed: int = 0
    next_at: float = 0.0
    busy: bool = False
    unhealthy_until: float = 0.0  # an injected fault


class TargetHealthStore:
    """Health by target. Read under the cloud's lock; probes write under the store's own lock."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._lock = threading.Lock()
        self._probed: dict[Key, TargetHealth] = {}
        self._served: set[Key] = set()
        self._unrouted: set[Key] = set()
        self._data_plane_works = True

    def set_routing(self, served: set[Key], unrouted: set[Key], *, works: bool) -> None:
        """Record which targets the data plane serves, and which draining ones receive no more requests."""
        self._served, self._unrouted, self._data_plane_works = served, unrouted, works

    def state(self, group: Any, target_id: str, *, probed_only: bool = False) -> tuple[str, str | None, str | None]:
        """Return the state, reason and description of DescribeTargetHealth. A target is healthy once it receives requests; with
        `probed_only`, once its health checks pass."""
        if target_id in draining_targets(group):
            return describe_state("draining", "Target.DeregistrationInProgress")
        if target_id not in group.targets:
            return describe_state("unused", "Target.NotRegistered")
        if not is_in_use(group):
            return describe_state("unused", "Target.NotInUse")
        instance = group.ec2_backend.get_instance_by_id(target_id)
        if instance is not None and instance.state in ("stopping", "stopped", *TERMINATED_STATES):
            return describe_state("unused", "Target.InvalidState")
        if not group.health_check_enabled:
            return describe_state("unavailable", "Target.HealthCheckDisabled")
        with self._lock:
            probed = self._probed.get((group.arn, target_id)) or TargetHealth()
            if probed.state == "healthy":
                if probed_only or not self._data_plane_works or (group.arn, target_id) in self._served:
                    return "healthy", None, None
                return describe_state("initial", "Elb.RegistrationInProgress")
            return probed.state, probed.reason, probed.description

    def is_due(self, group: Any, target_id: str, now: float) -> bool:
        """Return True if the target's health check is due, and mark it as running."""
        with self._lock:
            if (key := (group.arn, target_id)) not in self._probed:
                self._probed[key] = TargetHealth()
                if fault := self._faults.consume("RegisterTargets", "unhealthy_target"):
                    self._probed[key].unhealthy_until = now + (fault.seconds or math.inf)
            probed = self._probed[key]
            if probed.busy or now < probed.next_at:
                return False
            probed.busy = True
            probed.next_at = now + float(group.health_check_interval_seconds)
            return True

    def record(self, group: Any, target_id: str, reason: str, description: str) -> bool:
        """Record the result of one health check (an empty reason if it passed). Return True if the state changed."""
        with self._lock:
            probed = self._probed.get((group.arn, target_id))
            if probed is None:
                return False
            before, probed.busy = probed.state, False
            if time.time() < probed.unhealthy_until:
                reason, description = "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]"
            if not reason:
                probed.passed, probed.failed = probed.passed + 1, 0
                # One success is enough after the registration; the threshold applies after failures.
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
        """Return True once the deregistration delay is over and the data plane sends the target no more requests."""
        entry = draining_targets(group).get(target_id)
        if entry is None:
            return target_id not in group.targets
        return now >= entry["until"] and self.is_unrouted(group, target_id)

    def is_unrouted(self, group: Any, target_id: str) -> bool:
        """Return True if the data plane sends the target no more requests."""
        return not self._data_plane_works or not is_in_use(group) or (group.arn, target_id) in self._unrouted

    def retain(self, registered: set[Key]) -> None:
        """Delete the health of targets that are not registered."""
        with self._lock:
            self._probed = {key: health for key, health in self._probed.items() if key in registered}


def install(health: TargetHealthStore) -> None:
    """Replace moto's methods."""

    def register(self: Any, requested: list[dict[str, Any]]) -> None:
        """moto accepts instances that do not exist or do not run.
        https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RegisterTargets.html"""
        for target in requested:
            instance = self.ec2_backend.get_instance_by_id(target["Id"])
            if target["Id"].startswith("i-") and instance is None:
                raise InvalidTargetError(f"The following targets do not exist: '{target['Id']}'")
            if instance is not None and instance.state != "running":
                raise TargetNotRunning(instance_id=target["Id"])
        for target in requested:
            draining_targets(self).pop(target["Id"], None)
            self.targets[target["Id"]] = {"Id": target["Id"], "Port": int(target.get("Port") or self.port)}

    def deregister(self: Any, requested: list[dict[str, Any]]) -> None:
        """moto rejects targets that are not registered, for which AWS succeeds.
        https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeregisterTargets.html"""
        for target in requested:
            drain(self, target["Id"])

    def deregister_terminated_instances(self: Any, instance_ids: list[str]) -> None:
        for instance_id in instance_ids:
            drain(self, instance_id)

    def health_for(self: Any, target: dict[str, Any], _: Any) -> FakeHealthStatus:
        """https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html"""
        registered = self.targets.get(target["Id"]) or draining_targets(self).get(target["Id"]) or {}
        port = registered.get("Port") or target.get("Port") or self.port
        check = port if self.health_check_port == "traffic-port" else self.health_check_port
        return FakeHealthStatus(target["Id"], port, str(check), *health.state(self, target["Id"]))

    def describe_target_health(self: Any, arn: str, requested: list[dict[str, Any]]) -> list[FakeHealthStatus]:
        """moto omits draining targets if the request names none.
        https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetHealth.html"""
        group = next(iter(self.describe_target_groups(None, [arn], None)))
        all_targets = [*group.targets.values(), *draining_targets(group).values()]
        return [group.health_for(target, self.ec2_backend) for target in requested or all_targets]

    def describe_target_groups(self: Any, *args: Any, **kwargs: Any) -> Any:
        """moto never removes a load balancer from LoadBalancerArns.
        https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroup.html"""
        for group in self.target_groups.values():
            group.load_balancer_arns = load_balancer_arns(group)
        return _describe(self, *args, **kwargs)

    replace_methods(ELBv2Backend, describe_target_groups, describe_target_health)
    replace_methods(FakeTargetGroup, register, deregister, deregister_terminated_instances, health_for)


def describe_state(state: str, reason: str) -> tuple[str, str | None, str | None]:
    """Return the state, the reason and the reason's description."""
    return state, reason, STATES[reason]
