"""Security groups that last: each lets in exactly what is wanted, however often it is asked for.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AuthorizeSecurityGroupIngress.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from goldenami.aws import security_groups as networks
from goldenami.aws.errors import code
from goldenami.aws.session import Connection
from goldenami.aws.tags import on
from goldenami.tools.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import IpPermissionOutputTypeDef


@dataclass(frozen=True, order=True)
class Rule:
    """One TCP port and who may reach it: a network (CIDR) or another security group's id."""

    port: int
    source: str


def find(aws: Connection, name: str, vpc: str) -> str | None:
    """A security group's id by its name."""
    found = aws.client("ec2").describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}]
    )["SecurityGroups"]
    return found[0]["GroupId"] if found else None


def ensure(aws: Connection, name: str, vpc: str, why: str, rules: Iterable[Rule], tags: Mapping[str, str]) -> str:
    """A security group that lets in exactly this; made or corrected. Returns its id."""
    ec2 = aws.client("ec2")
    group = find(aws, name, vpc)
    if group is None:
        group = ec2.create_security_group(
            GroupName=name, Description=why, VpcId=vpc, TagSpecifications=[on("security-group", tags)]
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


def delete(aws: Connection, clock: Clock, name: str, vpc: str) -> bool:
    """Delete a security group, waiting while the network interface of something that ends holds it."""
    group = find(aws, name, vpc)
    if group is None:
        return False
    networks.delete_security_group(aws, clock, group, timeout=300)
    return True


def subnets(aws: Connection, zones: Sequence[str]) -> list[tuple[str, str]]:
    """The default subnets in these zones: ids with their VPCs."""
    found = aws.client("ec2").describe_subnets(
        Filters=[
            {"Name": "default-for-az", "Values": ["true"]},
            {"Name": "availability-zone", "Values": list(zones)},
        ]
    )["Subnets"]
    by_zone = {one["AvailabilityZone"]: (one["SubnetId"], one["VpcId"]) for one in found}
    return [by_zone[zone] for zone in zones if zone in by_zone]


def _rules(permissions: Iterable[IpPermissionOutputTypeDef]) -> set[Rule]:
    found = set()
    for one in permissions:
        sources = [r["CidrIp"] for r in one.get("IpRanges", []) if "CidrIp" in r]
        sources += [r["CidrIpv6"] for r in one.get("Ipv6Ranges", []) if "CidrIpv6" in r]
        sources += [r["GroupId"] for r in one.get("UserIdGroupPairs", []) if "GroupId" in r]
        if one.get("IpProtocol") == "tcp" and one.get("FromPort") == one.get("ToPort"):
            found |= {Rule(one["FromPort"], source) for source in sources}
    return found


def _permission(rule: Rule) -> Any:
    told: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": rule.port, "ToPort": rule.port}
    if rule.source.startswith("sg-"):
        return told | {"UserIdGroupPairs": [{"GroupId": rule.source}]}
    if ":" in rule.source:
        return told | {"Ipv6Ranges": [{"CidrIpv6": rule.source}]}
    return told | {"IpRanges": [{"CidrIp": rule.source}]}
