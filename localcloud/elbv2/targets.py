"""Target groups: their targets, draining ones included, and the load balancers that forward to them.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html"""

from __future__ import annotations

import time
from typing import Any

from moto.elbv2.models import elbv2_backends

from localcloud.core.cloud import machine_address, regional_backends


def draining_targets(group: Any) -> dict[str, dict[str, Any]]:
    """Return deregistered targets within their delay, by id, with Id, Port and until (epoch seconds)."""
    draining: dict[str, dict[str, Any]] = vars(group).setdefault("draining", {})
    return draining


def drain(group: Any, target_id: str) -> None:
    """Deregister a target: it receives no new requests, and completes those in flight."""
    if (target := group.targets.pop(target_id, None)) is None:
        return
    delay = float(group.attributes.get("deregistration_delay.timeout_seconds", 300))
    draining_targets(group)[target_id] = {**target, "until": time.time() + (delay if is_in_use(group) else 0)}


def is_in_use(group: Any) -> bool:
    """Return True if a listener or rule forwards to the group."""
    return bool(elbv2_backend(group)._any_listener_using(group.arn))


def elbv2_backend(group: Any) -> Any:
    """Return the backend of the group's region."""
    return elbv2_backends[group.account_id][group.region_name]


def target_address(group: Any, target: dict[str, Any]) -> tuple[str, int] | None:
    """Return the host and port of a target; None while its machine has no address."""
    if not target["Id"].startswith("i-"):
        return target["Id"], int(target["Port"])
    instance = group.ec2_backend.get_instance_by_id(target["Id"])
    host = machine_address(instance) if instance is not None else None
    return (host, int(target["Port"])) if host else None


def load_balancer_arns(group: Any) -> list[str]:
    """Return the ARNs of the load balancers that forward to the group."""
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
    """Return all target groups."""
    return [group for backend in regional_backends(elbv2_backends) for group in list(backend.target_groups.values())]
