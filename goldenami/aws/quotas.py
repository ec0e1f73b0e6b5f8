"""The account's room for instances: how many vCPUs may run on demand, and how many do.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html#ec2-on-demand-instances-limits
"""

from __future__ import annotations

from collections.abc import Sequence

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.model.resources import VcpuQuota

_STANDARD = "L-1216C47A"  # Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances
_FAMILIES = tuple("acdhimrtz")
_UNREADABLE = ("AccessDenied", "AccessDeniedException", "NoSuchResourceException", "UnrecognizedClientException")


def vcpu_quota(aws: AwsSession, kind: str) -> VcpuQuota:
    """The room for more instances of a type; without the quota where these credentials may not read it."""
    ec2 = aws.client("ec2")
    states = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=states)  # type: ignore[arg-type]
    running = [
        instance["InstanceType"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
        if instance.get("InstanceLifecycle") != "spot" and instance["InstanceType"].startswith(_FAMILIES)
    ]
    sizes = _sizes(aws, sorted({kind, *running}))
    return VcpuQuota(_quota(aws), sum(sizes.get(one, 0) for one in running), sizes.get(kind, 0))


def _sizes(aws: AwsSession, kinds: Sequence[str]) -> dict[str, int]:
    """The vCPUs of each instance type."""
    found: dict[str, int] = {}
    for start in range(0, len(kinds), 100):  # AWS takes no more at once
        told = aws.client("ec2").describe_instance_types(InstanceTypes=list(kinds[start : start + 100]))  # type: ignore[arg-type]
        found |= {one["InstanceType"]: one["VCpuInfo"]["DefaultVCpus"] for one in told["InstanceTypes"]}
    return found


def _quota(aws: AwsSession) -> int | None:
    try:
        found = aws.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=_STANDARD)["Quota"]
    except ClientError as error:
        if code(error) in _UNREADABLE:
            return None
        raise
    return int(found["Value"])
