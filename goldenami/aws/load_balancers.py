"""Application Load Balancers: target group, balancer and listener; who is registered, and how well.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/Welcome.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import pairs
from goldenami.errors import AwsError
from goldenami.tools.clock import Clock, poll

if TYPE_CHECKING:
    from mypy_boto3_elbv2.type_defs import ActionTypeDef, ListenerTypeDef


@dataclass(frozen=True)
class Target:
    """A registered instance and its state (`initial`, `healthy`, `unhealthy`, `draining`, `unused`)."""

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
    """Every target of a target group with its state; none when the target group is gone."""
    try:
        found = aws.client("elbv2").describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    except ClientError as error:
        if code(error) == "TargetGroupNotFound":
            return []
        raise
    return [
        Target(t["Target"]["Id"], t["TargetHealth"].get("State", ""), t["TargetHealth"].get("Description", ""))
        for t in found
    ]


def register(aws: AwsSession, target_group: str, instance: str) -> None:
    """Let an instance take requests."""
    aws.client("elbv2").register_targets(TargetGroupArn=target_group, Targets=[{"Id": instance}])


def deregister(aws: AwsSession, clock: Clock, target_group: str, instance: str, timeout: float = 3700) -> None:
    """Take an instance out and wait until its requests are finished.

    Raises:
        AwsError: It is still draining when the time (seconds) is up.
    """
    aws.client("elbv2").deregister_targets(TargetGroupArn=target_group, Targets=[{"Id": instance}])
    for _ in poll(clock, timeout=timeout, every=1):
        if all(target.id != instance or target.state == "unused" for target in list_targets(aws, target_group)):
            return
    raise AwsError(f"{instance} is still draining", next="./invoke instances")


def get_target_group(aws: AwsSession, name: str) -> str | None:
    """A target group's ARN by its name."""
    try:
        found = aws.client("elbv2").describe_target_groups(Names=[name])["TargetGroups"]
    except ClientError as error:
        if code(error) == "TargetGroupNotFound":
            return None
        raise
    return found[0]["TargetGroupArn"] if found else None


def ensure_target_group(
    aws: AwsSession, name: str, request: Mapping[str, Any], attributes: Mapping[str, str], tags: Mapping[str, str]
) -> str:
    """A target group of this name with these health checks; made or corrected. Returns its ARN."""
    elb = aws.client("elbv2")
    arn = get_target_group(aws, name)
    if arn is None:
        made = elb.create_target_group(Name=name, **request, Tags=pairs(tags))  # type: ignore[arg-type]
        arn = made["TargetGroups"][0]["TargetGroupArn"]
    else:
        checks = {
            key: value
            for key, value in request.items()
            if key.startswith(("HealthCheck", "Matcher")) or "Threshold" in key
        }
        elb.modify_target_group(TargetGroupArn=arn, **checks)
    elb.modify_target_group_attributes(
        TargetGroupArn=arn, Attributes=[{"Key": key, "Value": value} for key, value in attributes.items()]
    )
    return arn


def get(aws: AwsSession, name: str) -> LoadBalancer | None:
    """A balancer by its name."""
    try:
        found = aws.client("elbv2").describe_load_balancers(Names=[name])["LoadBalancers"]
    except ClientError as error:
        if code(error) == "LoadBalancerNotFound":
            return None
        raise
    if not found:
        return None
    one = found[0]
    return LoadBalancer(
        one["LoadBalancerArn"], one["LoadBalancerName"], one.get("DNSName", ""), one.get("State", {}).get("Code", "")
    )


def ensure(
    aws: AwsSession, name: str, subnets: Sequence[str], security_group: str, tags: Mapping[str, str]
) -> LoadBalancer:
    """An internet-facing balancer of this name in these subnets; made once."""
    found = get(aws, name)
    if found is not None:
        return found
    aws.client("elbv2").create_load_balancer(
        Name=name,
        Subnets=list(subnets),
        SecurityGroups=[security_group],
        Scheme="internet-facing",
        Type="application",
        Tags=pairs(tags),  # type: ignore[arg-type]
    )
    made = get(aws, name)
    assert made is not None, name
    return made


def ensure_listener(aws: AwsSession, balancer: str, request: Mapping[str, Any]) -> None:
    """A listener on this port that does just that; made or corrected."""
    found = get_listener(aws, balancer, request["Port"])
    if found:
        aws.client("elbv2").modify_listener(ListenerArn=found, **request)
    else:
        aws.client("elbv2").create_listener(LoadBalancerArn=balancer, **request)


def get_listener(aws: AwsSession, balancer: str, port: int) -> str | None:
    """The ARN of the listener on this port, or None."""
    return next((one["ListenerArn"] for one in _listeners(aws, balancer) if one.get("Port") == port), None)


def get_weights(aws: AwsSession, balancer: str) -> dict[str, int]:
    """The weight of each target group, by its ARN, that a balancer's listeners forward to by default."""
    found: dict[str, int] = {}
    for one in _listeners(aws, balancer):
        for action in one.get("DefaultActions", []):
            if action["Type"] != "forward":
                continue
            groups = action.get("ForwardConfig", {}).get("TargetGroups", [])
            found |= {group["TargetGroupArn"]: group.get("Weight", 1) for group in groups}
            if not groups and "TargetGroupArn" in action:
                found[action["TargetGroupArn"]] = 1
    return found


def set_weights(aws: AwsSession, listener: str, shares: Mapping[str, int]) -> None:
    """Let a listener forward to these target groups by their weights; to one alone when there is one.

    Without stickiness to a target group: when a weight falls to nothing, no client may stay behind.
    Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_ModifyListener.html
    """
    forward: ActionTypeDef = {"Type": "forward"}
    if len(shares) == 1:
        forward["TargetGroupArn"] = next(iter(shares))
    else:
        forward["ForwardConfig"] = {
            "TargetGroups": [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in shares.items()],
            "TargetGroupStickinessConfig": {"Enabled": False},
        }
    aws.client("elbv2").modify_listener(ListenerArn=listener, DefaultActions=[forward])


def wait_active(aws: AwsSession, clock: Clock, name: str, timeout: float = 600) -> LoadBalancer:
    """Wait until a balancer takes requests.

    Raises:
        AwsError: It failed, or does not when the time (seconds) is up.
    """
    seen = "not there"
    for _ in poll(clock, timeout=timeout, every=2):
        found = get(aws, name)
        seen = found.state if found else seen
        if found and found.state in ("active", ""):
            return found
        if seen == "failed":
            break
    raise AwsError(f"the balancer {name} is {seen}", next=f"aws elbv2 describe-load-balancers --names {name}")


def delete(aws: AwsSession, clock: Clock, name: str, timeout: float = 300) -> bool:
    """Delete a balancer with its listeners and wait until it is gone; False when there is none."""
    found = get(aws, name)
    if found is None:
        return False
    aws.client("elbv2").delete_load_balancer(LoadBalancerArn=found.arn)
    for _ in poll(clock, timeout=timeout, every=2):
        if get(aws, name) is None:
            return True
    raise AwsError(f"the balancer {name} is still there", next="./invoke fleet.destroy")


def delete_target_group(aws: AwsSession, clock: Clock, name: str, timeout: float = 120) -> bool:
    """Delete a target group, waiting while a balancer that is gone still holds it; False when there is none."""
    refused: ClientError | None = None
    for _ in poll(clock, timeout=timeout, every=3):
        arn = get_target_group(aws, name)
        if arn is None:
            return refused is not None
        try:
            aws.client("elbv2").delete_target_group(TargetGroupArn=arn)
            return True
        except ClientError as error:
            if code(error) != "ResourceInUse":
                raise
            refused = error
    assert refused is not None
    raise refused


def _listeners(aws: AwsSession, balancer: str) -> list[ListenerTypeDef]:
    pages = aws.client("elbv2").get_paginator("describe_listeners").paginate(LoadBalancerArn=balancer)
    return [one for page in pages for one in page["Listeners"]]
