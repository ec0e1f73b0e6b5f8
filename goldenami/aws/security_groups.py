"""Security groups with exactly the ingress rules that are wanted.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldenami.aws.errors import code, retry, suppress
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import tag_specification
from goldenami.tools.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import IpPermissionOutputTypeDef, SecurityGroupTypeDef


@dataclass(frozen=True, order=True)
class IngressRule:
    """One TCP port and its allowed source: a network (CIDR) or another security group's id."""

    port: int
    source: str


def find(aws: AwsSession, name: str, vpc: str) -> str | None:
    """Return a security group's id by its name, or None if it does not exist."""
    group = _describe(aws, name, vpc)
    return group["GroupId"] if group else None


def ensure(
    aws: AwsSession,
    clock: Clock,
    name: str,
    vpc: str,
    rules: Iterable[IngressRule],
    tags: Mapping[str, str],
    description: str = "",
) -> str:
    """Create or update a security group so that it allows exactly these rules; return its id.

    The tags are set in the call that creates it, so that an interrupted run leaves no untagged group.
    """
    ec2 = aws.client("ec2")
    desired, current = set(rules), set[IngressRule]()
    group = ""
    with suppress("InvalidGroup.Duplicate"):
        group = ec2.create_security_group(
            GroupName=name,
            Description=description or f"goldenami {name}",
            VpcId=vpc,
            TagSpecifications=[tag_specification("security-group", tags)],
        )["GroupId"]
    if not group:
        existing = _describe(aws, name, vpc)
        assert existing is not None, name
        group, current = existing["GroupId"], _rules(existing.get("IpPermissions", []))
    if missing := [_permission(rule) for rule in sorted(desired - current)]:

        def authorize() -> None:
            with suppress("InvalidPermission.Duplicate"):
                ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=missing)

        # EC2 is eventually consistent: a new group may not be known yet.
        retry(clock, authorize, lambda error: code(error) == "InvalidGroup.NotFound", timeout=30, every=2)
    if extra := [_permission(rule) for rule in sorted(current - desired)]:
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=extra)
    return group


def delete(aws: AwsSession, clock: Clock, group: str, timeout: float = 120) -> None:
    """Delete a security group by its id, again while the network interface of a terminating instance uses it."""

    def attempt() -> None:
        with suppress("InvalidGroup.NotFound"):
            aws.client("ec2").delete_security_group(GroupId=group)

    retry(clock, attempt, lambda error: code(error) == "DependencyViolation", timeout=timeout, every=3)


def delete_by_name(aws: AwsSession, clock: Clock, name: str, vpc: str) -> bool:
    """Delete a security group by its name; return False if it does not exist."""
    group = find(aws, name, vpc)
    if group is None:
        return False
    delete(aws, clock, group, timeout=300)
    return True


def _describe(aws: AwsSession, name: str, vpc: str) -> SecurityGroupTypeDef | None:
    groups = aws.client("ec2").describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}]
    )["SecurityGroups"]
    return groups[0] if groups else None


def _rules(permissions: Iterable[IpPermissionOutputTypeDef]) -> set[IngressRule]:
    rules = set()
    for permission in permissions:
        sources = [r["CidrIp"] for r in permission.get("IpRanges", []) if "CidrIp" in r]
        sources += [r["CidrIpv6"] for r in permission.get("Ipv6Ranges", []) if "CidrIpv6" in r]
        sources += [r["GroupId"] for r in permission.get("UserIdGroupPairs", []) if "GroupId" in r]
        if permission.get("IpProtocol") == "tcp" and permission.get("FromPort") == permission.get("ToPort"):
            rules |= {IngressRule(permission["FromPort"], source) for source in sources}
    return rules


def _permission(rule: IngressRule) -> Any:
    permission: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": rule.port, "ToPort": rule.port}
    if rule.source.startswith("sg-"):
        return permission | {"UserIdGroupPairs": [{"GroupId": rule.source}]}
    if ":" in rule.source:
        return permission | {"Ipv6Ranges": [{"CidrIpv6": rule.source}]}
    return permission | {"IpRanges": [{"CidrIp": rule.source}]}
