"""Service Quotas: how many on-demand vCPUs the account may run, and how many it runs.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html#ec2-on-demand-instances-limits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goldenami.aws.errors import suppress
from goldenami.aws.session import AwsSession
from goldenami.model.resources import VcpuQuota

_STANDARD = "L-1216C47A"  # Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances
_FAMILIES = tuple("acdhimrtz")
_UNREADABLE = ("AccessDenied", "AccessDeniedException", "NoSuchResourceException", "UnrecognizedClientException")


def vcpu_quota(aws: AwsSession, kind: str) -> VcpuQuota:
    """Return the account's vCPU quota and usage, and the vCPUs of an instance type."""
    filters: Any = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    running = [
        instance["InstanceType"]
        for page in aws.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
        if instance.get("InstanceLifecycle") != "spot" and instance["InstanceType"].startswith(_FAMILIES)
    ]
    vcpus = _vcpus(aws, sorted({kind, *running}))
    return VcpuQuota(_quota(aws), sum(vcpus.get(other, 0) for other in running), vcpus.get(kind, 0))


def _vcpus(aws: AwsSession, kinds: Sequence[str]) -> dict[str, int]:
    vcpus: dict[str, int] = {}
    for start in range(0, len(kinds), 100):  # the limit of a call
        names: Any = list(kinds[start : start + 100])
        response = aws.client("ec2").describe_instance_types(InstanceTypes=names)
        vcpus |= {t["InstanceType"]: t["VCpuInfo"]["DefaultVCpus"] for t in response["InstanceTypes"]}
    return vcpus


def _quota(aws: AwsSession) -> int | None:
    with suppress(*_UNREADABLE):
        response = aws.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=_STANDARD)
        return int(response["Quota"]["Value"])
    return None
