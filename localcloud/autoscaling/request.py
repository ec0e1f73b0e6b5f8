"""Shared parts of all Auto Scaling actions: the group that a request names, and paginated results."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.core.responses import ActionResult

from localcloud.autoscaling import members
from localcloud.core.pagination import paginate


def requested_group(response: Any, *, reads: bool = False) -> Any:
    """Return the request's group. Raises AWS's error for an unknown one, and to change one that is being deleted."""
    name = response._get_param("AutoScalingGroupName")
    group = response.autoscaling_backend.autoscaling_groups.get(name)
    if group is None:
        raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    members.ensure_fields(group)
    if group.status and not reads:
        raise AutoscalingClientError(
            "ScalingActivityInProgress", "You cannot change an AutoScalingGroup while it is being deleted."
        )
    return group


def paginated_result(response: Any, field: str, items: list[Any]) -> ActionResult:
    """Return one page of the items: MaxRecords (50 by default), and the NextToken."""
    size, token = int(response._get_param("MaxRecords") or 50), response._get_param("NextToken")
    page, next_token = paginate(items, size, token, AutoscalingClientError)
    return ActionResult({field: page, "NextToken": next_token})
