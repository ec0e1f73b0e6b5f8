"""Subnets, Availability Zones and VPCs."""

from __future__ import annotations

from collections.abc import Sequence

from goldenami.aws.session import AwsSession
from goldenami.errors import AwsError


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
