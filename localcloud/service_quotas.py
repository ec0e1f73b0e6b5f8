"""The account's quotas. moto: those of VPC only."""

from __future__ import annotations

import os
from typing import Any

from moto.servicequotas.models import ServiceQuotasBackend

VCPUS = "L-1216C47A"  # Running On-Demand Standard instances
_get = ServiceQuotasBackend.get_service_quota


def install() -> None:
    """Replace moto's method."""

    def get_service_quota(self: Any, service_code: str, quota_code: str) -> dict[str, Any]:
        """moto: knows none of EC2. `GOLDENAMI_VCPUS` says how many there are to be (told, not enforced)."""
        if (service_code, quota_code) != ("ec2", VCPUS):
            found: dict[str, Any] = _get(self, service_code, quota_code)
            return found
        return {
            "ServiceCode": "ec2",
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaCode": VCPUS,
            "QuotaName": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
            "Value": float(os.environ.get("GOLDENAMI_VCPUS") or 256),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }

    ServiceQuotasBackend.get_service_quota = get_service_quota
