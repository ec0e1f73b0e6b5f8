"""The fleet's entrance: target group, balancer and listeners; made where missing, corrected where they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from goldenami.aws import load_balancers as balancers
from goldenami.context import Shop
from goldenami.errors import AwsError
from goldenami.infra import network as ground
from goldenami.infra.network import Ground


@dataclass(frozen=True)
class Doors:
    """The listener that takes the requests, and the target groups that it may send them to: ARNs."""

    listener: str
    own: str
    trial: str


def ensure(shop: Shop, place: Ground, entry: str) -> str:
    """Target group, balancer and listener; returns the target group's ARN."""
    names = shop.names
    target_group = _ensure_targets(shop, names.target_group, place)
    balancer = balancers.ensure(shop.aws, names.balancer, place.subnets, entry, ground.tags(shop))
    forward = {"Type": "forward", "TargetGroupArn": target_group}
    for request in _listeners(shop.recipe.fleet.certificate_arn, forward):
        balancers.ensure_listener(shop.aws, balancer.arn, request)
    balancers.wait_active(shop.aws, shop.clock, names.balancer)
    return target_group


def doors(shop: Shop, place: Ground) -> Doors:
    """Where the requests go; the trial's target group is made where it is missing.

    Raises:
        AwsError: The fleet's own parts are not there.
    """
    names = shop.names
    balancer = balancers.get(shop.aws, names.balancer)
    port = 443 if shop.recipe.fleet.certificate_arn else 80
    listener = balancers.listener(shop.aws, balancer.arn, port) if balancer else None
    own = balancers.get_target_group(shop.aws, names.target_group)
    if listener is None or own is None:
        raise AwsError(
            f"{names.balancer} has no listener on port {port} for {names.target_group}, so no traffic can be shifted",
            state="Nothing was changed.",
            next="./invoke fleet.create",
        )
    return Doors(listener, own, _ensure_targets(shop, names.trial_targets, place))


def _ensure_targets(shop: Shop, name: str, place: Ground) -> str:
    fleet, app = shop.recipe.fleet, shop.recipe.app
    return balancers.ensure_target_group(
        shop.aws,
        name,
        {
            "Protocol": "HTTP",
            "Port": app.port,
            "VpcId": place.vpc,
            "TargetType": "instance",
            "HealthCheckProtocol": "HTTP",
            "HealthCheckPath": app.health,
            "HealthCheckIntervalSeconds": fleet.health.interval,
            "HealthCheckTimeoutSeconds": fleet.health.timeout,
            "HealthyThresholdCount": fleet.health.healthy,
            "UnhealthyThresholdCount": fleet.health.unhealthy,
            "Matcher": {"HttpCode": "200-299"},
        },
        {"deregistration_delay.timeout_seconds": str(fleet.deregistration_delay)},
        ground.tags(shop),
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
