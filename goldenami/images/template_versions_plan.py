"""Decide which versions of the fleet's launch template are unused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from goldenami.infra.launch_template_plan import AMI
from goldenami.model.fleet import FleetState, LaunchTemplateVersion
from goldenami.model.references import Reference


@dataclass(frozen=True)
class VersionDecision:
    """A launch template version, and why it is kept; the reason is empty if it is unused."""

    version: LaunchTemplateVersion
    reason: str


def decide(
    fleet_state: FleetState, references: Sequence[Reference], targets: Sequence[str]
) -> tuple[VersionDecision, ...]:
    """Decide about every version of the template, oldest first.

    Kept are the default and the latest version, versions that a group or an instance refresh launches, versions of instances
    of the group, the newest version of each image that is in production or a rollback target, and versions that goldenami did
    not create.

    Args:
        references: What the groups and instance refreshes of the account launch, as `lt-…:3`.
    """
    template = fleet_state.template
    if template is None:
        return ()
    reasons: dict[int, str] = {}
    in_use = dict.fromkeys(targets, "it is a rollback target")
    if fleet_state.pointer is not None:
        in_use[fleet_state.pointer.ami] = "it is in production"
    for image, reason in in_use.items():
        if numbers := [v.number for v in template.versions.values() if v.image == image]:
            reasons[max(numbers)] = f"{image}: {reason}"
    for member in fleet_state.group.members if fleet_state.group else ():
        reasons[member.version] = f"{member.id} was launched from it"
    aliases = {"$Latest": template.latest, "$Default": template.default, "": template.default}
    for reference in references:
        identity, _, number = reference.resource_id.partition(":")
        if identity == template.id:
            reasons[aliases[number] if number in aliases else int(number)] = reference.by
    reasons[template.latest] = "it is the latest"
    reasons[template.default] = "it is the default"
    return tuple(
        VersionDecision(version, reasons.get(number) or ("" if _is_managed(version) else "not managed by goldenami"))
        for number, version in sorted(template.versions.items())
    )


def _is_managed(version: LaunchTemplateVersion) -> bool:
    specifications: Sequence[Mapping[str, Sequence[Mapping[str, str]]]] = version.data.get("TagSpecifications", [])
    return any(tag.get("Key") == AMI for specification in specifications for tag in specification.get("Tags", []))
