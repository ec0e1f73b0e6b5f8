"""Subnets, Availability Zones, VPCs, and Elastic IP addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldenami.aws.session import AwsSession
from goldenami.errors import AwsError

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef


def subnet_zone(aws: AwsSession, subnet: str) -> str:
    """Return the Availability Zone of a subnet."""
    return aws.client("ec2").describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailabilityZone"]


def subnet_vpc(aws: AwsSession, subnet: str | None) -> str:
    """Return the VPC of a subnet, or the region's default VPC.

    Raises:
        AwsError: No subnet is given and the region has no default VPC.
    """
    ec2 = aws.client("ec2")
    if subnet:
        return ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not vpcs:
        raise AwsError(f"{aws.region} has no default VPC", next="set subnet_id under [targets.aws] in golden.toml")
    return vpcs[0]["VpcId"]


def default_subnets(aws: AwsSession, zones: Sequence[str]) -> list[tuple[str, str]]:
    """Return the ids of the default subnets in these zones, each with its VPC."""
    subnets = aws.client("ec2").describe_subnets(
        Filters=[{"Name": "default-for-az", "Values": ["true"]}, {"Name": "availability-zone", "Values": list(zones)}]
    )["Subnets"]
    by_zone = {subnet["AvailabilityZone"]: (subnet["SubnetId"], subnet["VpcId"]) for subnet in subnets}
    return [by_zone[zone] for zone in zones if zone in by_zone]


@dataclass(frozen=True)
class ElasticAddress:
    """An Elastic IP address; `instance` is empty if it is not associated with one."""

    allocation: str
    address: str
    instance: str = ""


def find_address(aws: AwsSession, tags: Mapping[str, str]) -> ElasticAddress | None:
    """Return the first Elastic IP address with these tags, or None."""
    filters: list[FilterTypeDef] = [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
    addresses = aws.client("ec2").describe_addresses(Filters=filters)["Addresses"]
    found = [ElasticAddress(a["AllocationId"], a["PublicIp"], a.get("InstanceId", "")) for a in addresses]
    return min(found, key=lambda address: address.address, default=None)


def associate_address(aws: AwsSession, allocation: str, instance: str) -> None:
    """Associate an Elastic IP address with an instance, also if another one has it.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateAddress.html
    """
    aws.client("ec2").associate_address(AllocationId=allocation, InstanceId=instance, AllowReassociation=True)
