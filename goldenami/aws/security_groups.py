"""Where machines stand and who reaches them: the VPC, and security groups that a run makes and removes.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import tag_specification
from goldenami.errors import AwsError
from goldenami.tools.clock import Clock, poll

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import IpPermissionOutputTypeDef


def ensure_security_group(
    aws: AwsSession, clock: Clock, name: str, vpc: str, rules: Mapping[int, Sequence[str]], tags: Mapping[str, str]
) -> str:
    """A security group that lets in exactly these TCP ports from these networks; found again by its name.

    Args:
        aws: Where.
        clock: What to wait with.
        name: Its name, unique in the VPC.
        vpc: The VPC's id.
        rules: Networks (CIDR) for each port.
        tags: Put on when it is made, in the same call, so that it can never be left behind unrecognised.

    Returns:
        Its id.
    """
    ec2 = aws.client("ec2")
    try:
        group = ec2.create_security_group(
            GroupName=name,
            Description=f"goldenami {name}",
            VpcId=vpc,
            TagSpecifications=[tag_specification("security-group", tags)],
        )["GroupId"]
    except ClientError as error:
        if code(error) != "InvalidGroup.Duplicate":
            raise
        found = ec2.describe_security_groups(
            Filters=[{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}]
        )
        group = found["SecurityGroups"][0]["GroupId"]
    permissions: list[Any] = [
        {
            "IpProtocol": "tcp",
            "FromPort": port,
            "ToPort": port,
            "IpRanges": [{"CidrIp": network} for network in networks if ":" not in network],
            "Ipv6Ranges": [{"CidrIpv6": network} for network in networks if ":" in network],
        }
        for port, networks in rules.items()
    ]
    for _ in poll(clock, timeout=30, every=2):
        try:
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
            return group
        except ClientError as error:
            if code(error) == "InvalidPermission.Duplicate":
                return group
            if code(error) != "InvalidGroup.NotFound":  # a new group is not known everywhere at once
                raise
    raise AwsError(f"the new security group {group} does not appear", next="the same command, in a minute")


def delete_security_group(aws: AwsSession, clock: Clock, group: str, timeout: float = 120) -> None:
    """Delete a security group, waiting while the network interface of an ended instance still holds it."""
    refused: ClientError | None = None
    for _ in poll(clock, timeout=timeout, every=3):
        try:
            aws.client("ec2").delete_security_group(GroupId=group)
            return
        except ClientError as error:
            if code(error) == "InvalidGroup.NotFound":
                return
            if code(error) != "DependencyViolation":
                raise
            refused = error
    assert refused is not None
    raise refused


@dataclass(frozen=True, order=True)
class IngressRule:
    """One TCP port and who may reach it: a network (CIDR) or another security group's id."""

    port: int
    source: str


def find(aws: AwsSession, name: str, vpc: str) -> str | None:
    """A security group's id by its name."""
    found = aws.client("ec2").describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}]
    )["SecurityGroups"]
    return found[0]["GroupId"] if found else None


def ensure(
    aws: AwsSession, name: str, vpc: str, why: str, rules: Iterable[IngressRule], tags: Mapping[str, str]
) -> str:
    """A security group that lets in exactly this; made or corrected. Returns its id."""
    ec2 = aws.client("ec2")
    group = find(aws, name, vpc)
    if group is None:
        group = ec2.create_security_group(
            GroupName=name, Description=why, VpcId=vpc, TagSpecifications=[tag_specification("security-group", tags)]
        )["GroupId"]
    there = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0].get("IpPermissions", [])
    wanted, found = set(rules), _rules(there)
    for rule in sorted(wanted - found):
        try:
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[_permission(rule)])
        except ClientError as error:
            if code(error) != "InvalidPermission.Duplicate":
                raise
    for rule in sorted(found - wanted):
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[_permission(rule)])
    return group


def delete(aws: AwsSession, clock: Clock, name: str, vpc: str) -> bool:
    """Delete a security group, waiting while the network interface of something that ends holds it."""
    group = find(aws, name, vpc)
    if group is None:
        return False
    delete_security_group(aws, clock, group, timeout=300)
    return True


def _rules(permissions: Iterable[IpPermissionOutputTypeDef]) -> set[IngressRule]:
    found = set()
    for one in permissions:
        sources = [r["CidrIp"] for r in one.get("IpRanges", []) if "CidrIp" in r]
        sources += [r["CidrIpv6"] for r in one.get("Ipv6Ranges", []) if "CidrIpv6" in r]
        sources += [r["GroupId"] for r in one.get("UserIdGroupPairs", []) if "GroupId" in r]
        if one.get("IpProtocol") == "tcp" and one.get("FromPort") == one.get("ToPort"):
            found |= {IngressRule(one["FromPort"], source) for source in sources}
    return found


def _permission(rule: IngressRule) -> Any:
    told: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": rule.port, "ToPort": rule.port}
    if rule.source.startswith("sg-"):
        return told | {"UserIdGroupPairs": [{"GroupId": rule.source}]}
    if ":" in rule.source:
        return told | {"Ipv6Ranges": [{"CidrIpv6": rule.source}]}
    return told | {"IpRanges": [{"CidrIp": rule.source}]}
