"""What all Auto Scaling actions share: the group that a request names, and pages of answers."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError

from localcloud.autoscaling import members


def requested_group(response: Any, *, reads: bool = False) -> Any:
    """The request's group. Raises what AWS answers for an unknown one, and for one that is being deleted."""
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


def page(response: Any, items: list[Any]) -> tuple[list[Any], str | None]:
    """MaxRecords (50, at most 100) of the items, and the token for the next ones."""
    size, token = int(response._get_param("MaxRecords") or 50), response._get_param("NextToken")
    if token and not token.isdigit():
        raise AutoscalingClientError("InvalidNextToken", f"The token '{token}' is invalid")
    start = int(token or 0)
    return items[start : start + size], str(start + size) if start + size < len(items) else None
