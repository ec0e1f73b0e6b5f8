"""The launch template versions of a group, of its instance refresh, and of its members.
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_LaunchTemplateSpecification.html"""

from __future__ import annotations

from typing import Any

from moto.core.exceptions import ServiceException


def active_refresh(group: Any) -> Any:
    """Return the group's active instance refresh, or None."""
    return next((refresh for refresh in getattr(group, "refreshes", []) if refresh.is_active), None)


def launch_specification(group: Any) -> dict[str, Any] | None:
    """Return the specification of launches: the desired configuration during a refresh, else the group's own."""
    refresh = active_refresh(group)
    if refresh is not None and refresh.status in ("Pending", "InProgress", "Baking"):
        desired: dict[str, Any] | None = refresh.specification
        return desired
    return group_specification(group)


def launch_refresh_id(group: Any) -> str | None:
    """Return the refresh id of members that are launched now: that of the active refresh or of its rollback."""
    refresh = active_refresh(group)
    if refresh is None or refresh.status == "Cancelling":
        return None
    return rollback_id(refresh) if refresh.status == "RollbackInProgress" else str(refresh.instance_refresh_id)


def rollback_id(refresh: Any) -> str:
    """Return the refresh id of members that the rollback of a refresh launches."""
    return f"{refresh.instance_refresh_id} rolled back"


def group_specification(group: Any) -> dict[str, Any] | None:
    """Return the group's own LaunchTemplateSpecification; None if it uses a launch configuration."""
    if (template := group.ec2_launch_template) is None:
        return None
    version = group.launch_template_version
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": version}


def resolve_version(group: Any, specification: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the specification with the current number of $Latest or $Default."""
    return version_specification(group.ec2_backend._get_template_from_args(specification)) if specification else None


def version_specification(version: Any) -> dict[str, str]:
    """Return the LaunchTemplateSpecification of a version."""
    template = version.template
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(version.number)}


def matches_specification(group: Any, member: Any, specification: dict[str, Any] | None) -> bool:
    """Return True if a member was launched from this template version."""
    try:
        return bool(member.launch_template == resolve_version(group, specification))
    except ServiceException:
        return False
