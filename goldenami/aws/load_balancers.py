"""Application Load Balancers, their listeners and target groups, and the health of targets.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/Welcome.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldenami.aws.errors import code, retry, suppress
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import pairs
from goldenami.errors import AwsError
from goldenami.tools.clock import Clock, wait_until

if TYPE_CHECKING:
    from mypy_boto3_elbv2.type_defs import ActionTypeDef, ListenerTypeDef


@dataclass(frozen=True)
class Target:
    """A registered instance and its state: (`initial`, `healthy`, `unhealthy`, `draining`, `unused`)."""

    id: str
    state: str
    reason: str = ""


@dataclass(frozen=True)
class LoadBalancer:
    """A load balancer; `address` is its DNS name."""

    arn: str
    name: str
    address: str
    state: str = ""


def list_targets(aws: AwsSession, target_group: str) -> list[Target]:
    """Return the targets of a target group with their states; none if the target group does not exist."""
    with suppress("TargetGroupNotFound"):
        response = aws.client("elbv2").describe_target_health(TargetGroupArn=target_group)
        return [
            Target(t["Target"]["Id"], t["TargetHealth"].get("State", ""), t["TargetHealth"].get("Description", ""))
            for t in response["TargetHealthDescriptions"]
        ]
    return []


def register(aws: AwsSession, target_group: str, instance: str) -> None:
    """Register an instance with a target group."""
    aws.client("elbv2").register_targets(TargetGroupArn=target_group, Targets=[{"Id": instance}])


def start_draining(aws: AwsSession, target_group: str, instance: str) -> None:
    """Deregister an instance: it receives no new requests, and completes those in flight."""
    aws.client("elbv2").deregister_targets(TargetGroupArn=target_group, Targets=[{"Id": instance}])


def deregister(aws: AwsSession, clock: Clock, target_group: str, instance: str, timeout: float = 3700) -> None:
    """Deregister an instance and wait until its connections are drained.

    Raises:
        AwsError: The instance is still draining after `timeout` seconds.
    """
    start_draining(aws, target_group, instance)
    wait_until(
        clock,
        lambda: list_targets(aws, target_group),
        lambda targets: all(target.id != instance or target.state == "unused" for target in targets),
        timeout=timeout,
        every=1,
        on_timeout=lambda _: AwsError(f"{instance} is still draining after {timeout:.0f} s", next="./invoke instances"),
    )


def get_target_group(aws: AwsSession, name: str) -> str | None:
    """Return a target group's ARN by its name, or None if it does not exist."""
    with suppress("TargetGroupNotFound"):
        groups = aws.client("elbv2").describe_target_groups(Names=[name])["TargetGroups"]
        return groups[0]["TargetGroupArn"] if groups else None
    return None


def ensure_target_group(
    aws: AwsSession, name: str, request: Mapping[str, Any], attributes: Mapping[str, str], tags: Mapping[str, str]
) -> str:
    """Create a target group, or update its health checks and attributes; return its ARN."""
    elb = aws.client("elbv2")
    arn = get_target_group(aws, name)
    if arn is None:
        response = elb.create_target_group(Name=name, **request, Tags=pairs(tags))  # type: ignore[arg-type]
        arn = response["TargetGroups"][0]["TargetGroupArn"]
    else:
        changeable = [key for key in request if key.startswith(("HealthCheck", "Matcher")) or "Threshold" in key]
        elb.modify_target_group(TargetGroupArn=arn, **{key: request[key] for key in changeable})
    elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=pairs(attributes))
    return arn


def get(aws: AwsSession, name: str) -> LoadBalancer | None:
    """Return a load balancer by its name, or None if it does not exist."""
    with suppress("LoadBalancerNotFound"):
        for lb in aws.client("elbv2").describe_load_balancers(Names=[name])["LoadBalancers"]:
            state = lb.get("State", {}).get("Code", "")
            return LoadBalancer(lb["LoadBalancerArn"], lb["LoadBalancerName"], lb.get("DNSName", ""), state)
    return None


def ensure(
    aws: AwsSession, name: str, subnets: Sequence[str], security_group: str, tags: Mapping[str, str]
) -> LoadBalancer:
    """Return the load balancer of this name; create an internet-facing one in these subnets if it does not exist."""
    existing = get(aws, name)
    if existing is not None:
        return existing
    aws.client("elbv2").create_load_balancer(
        Name=name,
        Subnets=list(subnets),
        SecurityGroups=[security_group],
        Scheme="internet-facing",
        Type="application",
        Tags=pairs(tags),  # type: ignore[arg-type]
    )
    created = get(aws, name)
    assert created is not None, name
    return created


def ensure_listener(aws: AwsSession, balancer: str, request: Mapping[str, Any]) -> None:
    """Create or update the listener on the request's port."""
    listener = get_listener(aws, balancer, request["Port"])
    if listener:
        aws.client("elbv2").modify_listener(ListenerArn=listener, **request)
    else:
        aws.client("elbv2").create_listener(LoadBalancerArn=balancer, **request)


def get_listener(aws: AwsSession, balancer: str, port: int) -> str | None:
    """Return the ARN of the listener on this port, or None if it does not exist."""
    return next((lst["ListenerArn"] for lst in _listeners(aws, balancer) if lst.get("Port") == port), None)


def get_weights(aws: AwsSession, balancer: str) -> dict[str, int]:
    """Return the weight of each target group, by its ARN, to which the listeners forward by default."""
    weights: dict[str, int] = {}
    for listener in _listeners(aws, balancer):
        for action in listener.get("DefaultActions", []):
            if action["Type"] != "forward":
                continue
            groups = action.get("ForwardConfig", {}).get("TargetGroups", [])
            weights |= {group["TargetGroupArn"]: group.get("Weight", 1) for group in groups}
            if not groups and "TargetGroupArn" in action:
                weights[action["TargetGroupArn"]] = 1
    return weights


def set_weights(aws: AwsSession, listener: str, weights: Mapping[str, int]) -> None:
    """Forward a listener's requests to these target groups by their weights.

    Target group stickiness is off: it would keep clients on a target group whose weight becomes 0.
    Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_ModifyListener.html
    """
    forward: ActionTypeDef = {"Type": "forward"}
    if len(weights) == 1:
        forward["TargetGroupArn"] = next(iter(weights))
    else:
        forward["ForwardConfig"] = {
            "TargetGroups": [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items()],
            "TargetGroupStickinessConfig": {"Enabled": False},
        }
    aws.client("elbv2").modify_listener(ListenerArn=listener, DefaultActions=[forward])


def wait_active(aws: AwsSession, clock: Clock, name: str, timeout: float = 600) -> LoadBalancer:
    """Wait until a load balancer is active.

    Raises:
        AwsError: Its creation failed, or it is not active after `timeout` seconds.
    """
    balancer = wait_until(
        clock,
        lambda: get(aws, name),
        lambda balancer: balancer and balancer.state in ("active", ""),
        timeout=timeout,
        every=2,
        failed=lambda balancer: balancer and balancer.state == "failed",
        on_timeout=lambda balancer: AwsError(
            f"the load balancer {name} did not become active: {balancer.state if balancer else 'not found'}",
            next=f"aws elbv2 describe-load-balancers --names {name}",
        ),
    )
    assert balancer is not None
    return balancer


def delete(aws: AwsSession, clock: Clock, name: str, timeout: float = 300) -> bool:
    """Delete a load balancer with its listeners and wait until it is deleted; return False if it does not exist."""
    balancer = get(aws, name)
    if balancer is None:
        return False
    aws.client("elbv2").delete_load_balancer(LoadBalancerArn=balancer.arn)
    wait_until(
        clock,
        lambda: get(aws, name),
        lambda balancer: balancer is None,
        timeout=timeout,
        every=2,
        on_timeout=lambda _: AwsError(
            f"the load balancer {name} was not deleted within {timeout:.0f} s", next="./invoke fleet.destroy"
        ),
    )
    return True


def delete_target_group(aws: AwsSession, clock: Clock, name: str, timeout: float = 120) -> bool:
    """Delete a target group, again while a deleted load balancer still uses it; return False if it does not exist."""
    arn = get_target_group(aws, name)
    if arn is None:
        return False
    retry(
        clock,
        lambda: aws.client("elbv2").delete_target_group(TargetGroupArn=arn),
        lambda error: code(error) == "ResourceInUse",
        timeout=timeout,
        every=3,
    )
    return True


def _listeners(aws: AwsSession, balancer: str) -> list[ListenerTypeDef]:
    pages = aws.client("elbv2").get_paginator("describe_listeners").paginate(LoadBalancerArn=balancer)
    return [listener for page in pages for listener in page["Listeners"]]
