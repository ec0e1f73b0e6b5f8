"""Which launch template version is meant: the group's own, the one a refresh brings in, and whether a member has it."""

from __future__ import annotations

from typing import Any

from moto.core.exceptions import ServiceException


def active_refresh(group: Any) -> Any:
    """The refresh that is going on, or None."""
    return next((one for one in getattr(group, "refreshes", []) if one.is_active), None)


def launch_specification(group: Any) -> dict[str, Any] | None:
    """What a launch uses now: the desired configuration while a refresh brings it in, else the group's own."""
    refresh = active_refresh(group)
    if refresh is not None and refresh.status in ("Pending", "InProgress", "Baking"):
        asked: dict[str, Any] | None = refresh.specification
        return asked
    return group_specification(group)


def launch_refresh_id(group: Any) -> str | None:
    """The mark of a member that is launched now."""
    refresh = active_refresh(group)
    if refresh is None or refresh.status == "Cancelling":
        return None
    return rollback_id(refresh) if refresh.status == "RollbackInProgress" else str(refresh.instance_refresh_id)


def rollback_id(refresh: Any) -> str:
    return f"{refresh.instance_refresh_id} rolled back"


def group_specification(group: Any) -> dict[str, Any] | None:
    """The group's own LaunchTemplateSpecification; None with a launch configuration."""
    template = group.ec2_launch_template
    if template is None:
        return None
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "Version": group.launch_template_version,
    }


def resolve_version(group: Any, asked: dict[str, Any] | None) -> dict[str, Any] | None:
    """The specification with a number instead of $Latest or $Default, as it is now."""
    if asked is None:
        return None
    version = group.ec2_backend._get_template_from_args(asked)
    template = version.template
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(version.number)}


def matches_specification(group: Any, member: Any, asked: dict[str, Any] | None) -> bool:
    """Whether a member was launched from this template version."""
    try:
        wanted = resolve_version(group, asked)
    except ServiceException:
        return False
    return bool(member.launch_template == wanted)
