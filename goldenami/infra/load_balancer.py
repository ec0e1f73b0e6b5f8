"""The fleet's entrance: target group, balancer and listeners; made where missing, corrected where they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from goldenami.aws import load_balancers
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.infra import network
from goldenami.infra.network import Network


@dataclass(frozen=True)
class TrafficRouting:
    """The listener that takes the requests, and the target groups that it may send them to: ARNs."""

    listener: str
    own: str
    canary: str


def ensure(ctx: Context, place: Network, entry: str) -> str:
    """Target group, balancer and listener; returns the target group's ARN."""
    names = ctx.names
    target_group = _ensure_target_group(ctx, names.target_group, place)
    balancer = load_balancers.ensure(ctx.aws, names.load_balancer, place.subnets, entry, network.resource_tags(ctx))
    forward = {"Type": "forward", "TargetGroupArn": target_group}
    for request in _listeners(ctx.recipe.fleet.certificate_arn, forward):
        load_balancers.ensure_listener(ctx.aws, balancer.arn, request)
    load_balancers.wait_active(ctx.aws, ctx.clock, names.load_balancer)
    return target_group


def traffic_routing(ctx: Context, place: Network) -> TrafficRouting:
    """Where the requests go; the trial's target group is made where it is missing.

    Raises:
        AwsError: The fleet's own parts are not there.
    """
    names = ctx.names
    balancer = load_balancers.get(ctx.aws, names.load_balancer)
    port = 443 if ctx.recipe.fleet.certificate_arn else 80
    listener = load_balancers.get_listener(ctx.aws, balancer.arn, port) if balancer else None
    own = load_balancers.get_target_group(ctx.aws, names.target_group)
    if listener is None or own is None:
        raise AwsError(
            f"{names.load_balancer} has no listener on port {port} for {names.target_group}, so no traffic can be shifted",
            state="Nothing was changed.",
            next="./invoke fleet.create",
        )
    return TrafficRouting(listener, own, _ensure_target_group(ctx, names.canary_target_group, place))


def _ensure_target_group(ctx: Context, name: str, place: Network) -> str:
    fleet, app = ctx.recipe.fleet, ctx.recipe.app
    return load_balancers.ensure_target_group(
        ctx.aws,
        name,
        {
            "Protocol": "HTTP",
            "Port": app.port,
            "VpcId": place.vpc,
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
        network.resource_tags(ctx),
    )


def _listeners(certificate: str, forward: dict[str, Any]) -> list[dict[str, Any]]:
    if not certificate:
        return [{"Protocol": "HTTP", "Port": 80, "DefaultActions": [forward]}]
    away = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
    secure = {"SslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06", "Certificates": [{"CertificateArn": certificate}]}
    return [
        {"Protocol": "HTTPS", "Port": 443, "DefaultActions": [forward], **secure},
        {"Protocol": "HTTP", "Port": 80, "DefaultActions": [{"Type": "redirect", "RedirectConfig": away}]},
    ]
