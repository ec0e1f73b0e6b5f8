"""Which launch template version is meant: the group's own, the one a refresh brings in, and whether a member has it."""

from __future__ import annotations

from typing import Any

from moto.core.exceptions import ServiceException


def active(group: Any) -> Any:
    """The refresh that is going on, or None."""
    return next((one for one in getattr(group, "refreshes", []) if one.is_active), None)


def specification(group: Any) -> dict[str, Any] | None:
    """What a launch uses now: the desired configuration while a refresh brings it in, else the group's own."""
    refresh = active(group)
    if refresh is not None and refresh.status in ("Pending", "InProgress", "Baking"):
        asked: dict[str, Any] | None = refresh.specification
        return asked
    return own(group)


def launching(group: Any) -> str | None:
    """The mark of a member that is launched now."""
    refresh = active(group)
    if refresh is None or refresh.status == "Cancelling":
        return None
    return back_id(refresh) if refresh.status == "RollbackInProgress" else str(refresh.instance_refresh_id)


def back_id(refresh: Any) -> str:
    return f"{refresh.instance_refresh_id} rolled back"


def own(group: Any) -> dict[str, Any] | None:
    """The group's own LaunchTemplateSpecification; None with a launch configuration."""
    template = group.ec2_launch_template
    if template is None:
        return None
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "Version": group.launch_template_version,
    }


def resolved(group: Any, asked: dict[str, Any] | None) -> dict[str, Any] | None:
    """The specification with a number instead of $Latest or $Default, as it is now."""
    if asked is None:
        return None
    version = group.ec2_backend._get_template_from_args(asked)
    template = version.template
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(version.number)}


def matches(group: Any, member: Any, asked: dict[str, Any] | None) -> bool:
    """Whether a member was launched from this template version."""
    try:
        wanted = resolved(group, asked)
    except ServiceException:
        return False
    return bool(member.launch_template == wanted)
