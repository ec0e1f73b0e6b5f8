"""Pagination of Describe actions that moto lacks, and an indexed look-up of tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.responses import EC2Response
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

from localcloud.core.pagination import paginate

PAGINATED = {"describe_images": "Images", "describe_snapshots": "Snapshots", "describe_volumes": "Volumes"}
_describe = {action: getattr(EC2Response, action) for action in PAGINATED}
_describe_tags = EC2Backend.describe_tags


def install() -> None:
    """Add MaxResults and NextToken to the actions, and replace the scan of all tags.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshots.html
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVolumes.html"""
    for action, field in PAGINATED.items():
        setattr(EC2Response, action, paginated(_describe[action], field))
    EC2Backend.describe_tags = describe_tags


def paginated(action: Callable[[Any], Any], field: str) -> Callable[[Any], Any]:
    """Return the action with pagination and, for snapshots, with OwnerIds, which moto ignores."""

    def describe(self: Any) -> Any:
        items = list(action(self).result[field])
        if owners := self._get_param("OwnerIds"):
            owner_ids = {self.current_account if owner == "self" else owner for owner in owners}
            items = [item for item in items if item.owner_id in owner_ids]
        size, token = int(self._get_param("MaxResults") or 0), self._get_param("NextToken")
        page, token = paginate(items, size, token, EC2ClientError)
        return ActionResult({field: page, "NextToken": token})

    return describe


def describe_tags(self: Any, filters: Any = None) -> Any:
    """moto scans all tags for each resource: 77 s for DescribeImages with 10,000 tagged images.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeTags.html"""
    if filters and list(filters) == ["resource-id"]:
        ids = filters["resource-id"]
        if not any(wildcard in resource_id for resource_id in ids for wildcard in "*?["):
            return [
                {
                    "resource_id": resource_id,
                    "key": key,
                    "value": value,
                    "resource_type": EC2_PREFIX_TO_RESOURCE.get(get_prefix(resource_id), ""),
                }
                for resource_id in ids
                for key, value in self.tags.get(resource_id, {}).items()
            ]
    return _describe_tags(self, filters)
