"""The fleet's entrance: target group, balancer and listeners; made where missing, corrected where they differ."""

from __future__ import annotations

from typing import Any

from goldenami.flows import ground
from goldenami.flows.ground import Ground
from goldenami.flows.shop import Shop
from goldenami.walls.aws import balancers


def ensure(shop: Shop, place: Ground, entry: str) -> str:
    """Target group, balancer and listener; returns the target group's ARN."""
    fleet, names, app = shop.recipe.fleet, shop.names, shop.recipe.app
    target_group = balancers.ensure_target_group(
        shop.aws,
        names.target_group,
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
    balancer = balancers.ensure(shop.aws, names.balancer, place.subnets, entry, ground.tags(shop))
    forward = {"Type": "forward", "TargetGroupArn": target_group}
    for request in _listeners(fleet.certificate_arn, forward):
        balancers.ensure_listener(shop.aws, balancer.arn, request)
    balancers.wait_active(shop.aws, shop.clock, names.balancer)
    return target_group


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
