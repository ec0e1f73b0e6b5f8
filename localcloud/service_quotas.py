"""Service Quotas of the account: the vCPU quota of EC2."""

from __future__ import annotations

import os
from typing import Any

from moto.servicequotas.models import ServiceQuotasBackend

from localcloud.core.overrides import replace_methods

VCPUS = "L-1216C47A"  # Running On-Demand Standard instances
_get = ServiceQuotasBackend.get_service_quota


def install() -> None:
    """Replace moto's method."""

    def get_service_quota(self: Any, service_code: str, quota_code: str) -> dict[str, Any]:
        """moto has quotas of VPC only. `GOLDENAMI_VCPUS` sets the vCPU quota, which is reported but not enforced.
        https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html"""
        if (service_code, quota_code) != ("ec2", VCPUS):
            quota: dict[str, Any] = _get(self, service_code, quota_code)
            return quota
        return {
            "ServiceCode": "ec2", "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)", "QuotaCode": VCPUS,
            "QuotaName": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
            "Value": float(os.environ.get("GOLDENAMI_VCPUS") or 256), "Unit": "None", "Adjustable": True,
            "GlobalQuota": False,
        }  # fmt: skip

    replace_methods(ServiceQuotasBackend, get_service_quota)
