"""Pages for the lists that moto gives whole, and tags found without a scan of all tags."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.responses import EC2Response
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

PAGED = {"describe_images": "Images", "describe_snapshots": "Snapshots", "describe_volumes": "Volumes"}
_whole = {action: getattr(EC2Response, action) for action in PAGED}
_describe_tags = EC2Backend.describe_tags


def install() -> None:
    """MaxResults and NextToken, which moto ignores here; and the index of tags."""
    for action, field in PAGED.items():
        setattr(EC2Response, action, paged(_whole[action], field))
    EC2Backend.describe_tags = describe_tags


def paged(action: Callable[[Any], Any], field: str) -> Callable[[Any], Any]:
    def page(self: Any) -> Any:
        items = list(action(self).result[field])
        if owners := self._get_param("OwnerIds"):  # of snapshots: moto ignores them
            wanted = {self.current_account if one == "self" else one for one in owners}
            items = [item for item in items if item.owner_id in wanted]
        start, size = 0, self._get_param("MaxResults")
        if token := self._get_param("NextToken"):
            try:
                last = base64.b64decode(token, validate=True).decode()
                start = 1 + [item.id for item in items].index(last)
            except ValueError:
                raise EC2ClientError("InvalidNextToken", f"The token '{token}' is invalid") from None
        shown = items[start : start + int(size)] if size else items[start:]
        more = start + len(shown) < len(items)
        token = base64.b64encode(shown[-1].id.encode()).decode() if more and shown else None
        return ActionResult({field: shown, "NextToken": token})

    return page


def describe_tags(self: Any, filters: Any = None) -> Any:
    """moto scans all tags for the tags of each resource: 77 s for DescribeImages of 10,000 tagged images."""
    if filters and list(filters) == ["resource-id"]:
        ids = filters["resource-id"]
        if not any(sign in one for one in ids for sign in "*?["):
            return [
                {
                    "resource_id": one,
                    "key": key,
                    "value": value,
                    "resource_type": EC2_PREFIX_TO_RESOURCE.get(get_prefix(one), ""),
                }
                for one in ids
                for key, value in self.tags.get(one, {}).items()
            ]
    return _describe_tags(self, filters)
