"""Elastic IP addresses: find the fleet's, and associate it with an instance.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateAddress.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldenami.aws.session import AwsSession

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef


@dataclass(frozen=True)
class ElasticAddress:
    """An Elastic IP address; `instance` is empty if it is not associated with one."""

    allocation: str
    address: str
    instance: str = ""


def find(aws: AwsSession, tags: Mapping[str, str]) -> ElasticAddress | None:
    """Return the first Elastic IP address with these tags, or None."""
    filters: list[FilterTypeDef] = [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
    addresses = aws.client("ec2").describe_addresses(Filters=filters)["Addresses"]
    found = [ElasticAddress(a["AllocationId"], a["PublicIp"], a.get("InstanceId", "")) for a in addresses]
    return min(found, key=lambda address: address.address, default=None)


def associate(aws: AwsSession, allocation: str, instance: str) -> None:
    """Associate an Elastic IP address with an instance, also if another one has it."""
    aws.client("ec2").associate_address(AllocationId=allocation, InstanceId=instance, AllowReassociation=True)
