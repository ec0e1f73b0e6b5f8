"""The fleet's load balancer, listeners and target groups, created or updated from the recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from goldenami.aws import auto_scaling, load_balancers
from goldenami.context import Context
from goldenami.errors import AwsError, GateError
from goldenami.infra.network import Network, resource_tags
from goldenami.tools.clock import poll

_DRAIN_SECONDS = 5.0  # for the requests in flight of an instance whose writes are stopped


@dataclass(frozen=True)
class TrafficRouting:
    """ARNs of the listener and of the target groups that it can forward to."""

    listener: str
    own: str
    canary: str


def ensure(ctx: Context, network: Network, security_group: str) -> str:
    """Create or update target group, load balancer and listeners; return the target group's ARN."""
    names = ctx.names
    target_group = _ensure_target_group(ctx, names.target_group, network)
    tags = resource_tags(ctx)
    load_balancer = load_balancers.ensure(ctx.aws, names.load_balancer, network.subnets, security_group, tags)
    forward = {"Type": "forward", "TargetGroupArn": target_group}
    for request in _listeners(ctx.recipe.fleet.certificate_arn, forward):
        load_balancers.ensure_listener(ctx.aws, load_balancer.arn, request)
    load_balancers.wait_active(ctx.aws, ctx.clock, names.load_balancer)
    return target_group


def traffic_routing(ctx: Context, network: Network) -> TrafficRouting:
    """Return the listener and the target groups; the canary's is created if it does not exist."""
    names = ctx.names
    load_balancer = load_balancers.get(ctx.aws, names.load_balancer)
    port = 443 if ctx.recipe.fleet.certificate_arn else 80
    listener = load_balancers.get_listener(ctx.aws, load_balancer.arn, port) if load_balancer else None
    own = load_balancers.get_target_group(ctx.aws, names.target_group)
    if listener is None or own is None:
        raise AwsError(
            f"cannot shift traffic: {names.load_balancer} has no listener on port {port} for {names.target_group}",
            state="No changes were made.",
            next="./invoke fleet.create",
        )
    return TrafficRouting(listener, own, _ensure_target_group(ctx, names.canary_target_group, network))


def register(ctx: Context, instance: str) -> None:
    """Register an instance with the fleet's target groups. Idempotent."""
    for target_group in _target_groups(ctx):
        if _state(ctx, target_group, instance) in ("", "draining"):
            load_balancers.register(ctx.aws, target_group, instance)


def deregister(ctx: Context, instance: str) -> None:
    """Deregister an instance from the fleet's target groups, and wait some seconds for its requests in flight. Idempotent."""
    target_groups = [group for group in _target_groups(ctx) if _state(ctx, group, instance)]
    for target_group in target_groups:
        load_balancers.start_draining(ctx.aws, target_group, instance)
    timeout = min(_DRAIN_SECONDS, ctx.recipe.fleet.deregistration_delay) if target_groups else 0
    for _ in poll(ctx.clock, timeout=timeout, every=0.5):
        if all(_state(ctx, group, instance) in ("", "unused") for group in target_groups):
            return


def wait_in_service(ctx: Context, instance: str, timeout: float, heartbeat: Callable[[], object]) -> None:
    """Wait until the load balancer, if there is one, sends requests to an instance.

    Raises:
        GateError: It sends none after `timeout` seconds.
    """
    target_groups = _target_groups(ctx)
    for _ in poll(ctx.clock, timeout=timeout, every=0.5):
        if all(_state(ctx, target_group, instance) == "healthy" for target_group in target_groups):
            return
        heartbeat()
    raise GateError(f"{instance} does not receive traffic after {timeout:.0f} s")


def _target_groups(ctx: Context) -> Sequence[str]:
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if group is not None:
        return group.target_groups
    target_group = load_balancers.get_target_group(ctx.aws, ctx.names.target_group)
    return [target_group] if target_group else []


def _state(ctx: Context, target_group: str, instance: str) -> str:
    """Return the state of an instance in a target group; empty if it is not registered."""
    return next((t.state for t in load_balancers.list_targets(ctx.aws, target_group) if t.id == instance), "")


def _ensure_target_group(ctx: Context, name: str, network: Network) -> str:
    fleet, app = ctx.recipe.fleet, ctx.recipe.app
    return load_balancers.ensure_target_group(
        ctx.aws,
        name,
        {
            "Protocol": "HTTP",
            "Port": app.port,
            "VpcId": network.vpc,
            "TargetType": "instance",
            "HealthCheckProtocol": "HTTP",
            "HealthCheckPath": app.health,
            "HealthCheckIntervalSeconds": fleet.health_check.interval,
            "HealthCheckTimeoutSeconds": fleet.health_check.timeout,
            "HealthyThresholdCount": fleet.health_check.healthy_threshold,
            "UnhealthyThresholdCount": fleet.health_check.unhealthy_threshold,
            "Matcher": {"HttpCode": "200-299"},
        },
        {"deregistration_delay.timeout_seconds": str(fleet.deregistration_delay)},
        resource_tags(ctx),
    )


def _listeners(certificate: str, forward: dict[str, Any]) -> list[dict[str, Any]]:
    if not certificate:
        return [{"Protocol": "HTTP", "Port": 80, "DefaultActions": [forward]}]
    redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
    tls = {"SslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06", "Certificates": [{"CertificateArn": certificate}]}
    return [
        {"Protocol": "HTTPS", "Port": 443, "DefaultActions": [forward], **tls},
        {"Protocol": "HTTP", "Port": 80, "DefaultActions": [{"Type": "redirect", "RedirectConfig": redirect}]},
    ]
