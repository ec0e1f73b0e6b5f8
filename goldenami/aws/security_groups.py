"""Where machines stand and who reaches them: the VPC, and security groups that a run makes and removes.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import Connection
from goldenami.aws.tags import on
from goldenami.errors import AwsError
from goldenami.tools.clock import Clock, attempts


def vpc_of(aws: Connection, subnet: str | None) -> str:
    """The VPC of a subnet, or the region's default VPC.

    Raises:
        AwsError: No subnet is given and the region has no default VPC.
    """
    ec2 = aws.client("ec2")
    if subnet:
        return ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
    found = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not found:
        raise AwsError(f"{aws.region} has no default VPC", next="set subnet_id under [targets.aws] in golden.toml")
    return found[0]["VpcId"]


def ensure_security_group(
    aws: Connection, clock: Clock, name: str, vpc: str, rules: Mapping[int, Sequence[str]], tags: Mapping[str, str]
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
            TagSpecifications=[on("security-group", tags)],
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
    for _ in attempts(clock, timeout=30, every=2):
        try:
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
            return group
        except ClientError as error:
            if code(error) == "InvalidPermission.Duplicate":
                return group
            if code(error) != "InvalidGroup.NotFound":  # a new group is not known everywhere at once
                raise
    raise AwsError(f"the new security group {group} does not appear", next="the same command, in a minute")


def delete_security_group(aws: Connection, clock: Clock, group: str, timeout: float = 120) -> None:
    """Delete a security group, waiting while the network interface of an ended instance still holds it."""
    refused: ClientError | None = None
    for _ in attempts(clock, timeout=timeout, every=3):
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
