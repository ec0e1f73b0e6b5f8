"""Decide which versions of the fleet's launch template are still of use; each of the others holds an old image for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from goldenami.infra.launch_template_plan import AMI
from goldenami.model.fleet import FleetState, LaunchTemplateVersion
from goldenami.model.references import Reference


@dataclass(frozen=True)
class VersionDecision:
    """A version, and why it stays; nothing when it may go."""

    version: LaunchTemplateVersion
    reason: str


def decide(
    fleet_state: FleetState, references: Sequence[Reference], targets: Sequence[str]
) -> tuple[VersionDecision, ...]:
    """A word about every version of the template, oldest first.

    What stays: the default and the latest version, what any group launches or any refresh brings, what an instance of the
    group was launched from, and the newest version of each image that is in production or that a rollback may go back to.
    Versions that we have not made stay as well.

    Args:
        scene: The fleet.
        references: What groups and refreshes of the whole account launch, as `lt-…:3`.
        targets: The images that a rollback may go back to.
    """
    template = fleet_state.template
    if template is None:
        return ()
    reasons: dict[int, str] = {}
    wanted = dict.fromkeys(targets, "a rollback may go back to it")
    if fleet_state.pointer is not None:
        wanted[fleet_state.pointer.ami] = "it is in production"
    for image, why in wanted.items():
        numbers = [v.number for v in template.versions.values() if v.image == image]
        if numbers:
            reasons[max(numbers)] = f"{image}: {why}"
    for member in fleet_state.group.members if fleet_state.group else ():
        reasons[member.version] = f"{member.id} was launched from it"
    for reference in references:
        identity, _, number = reference.resource_id.partition(":")
        if identity == template.id:
            named = {"$Latest": template.latest, "$Default": template.default, "": template.default}.get(number)
            reasons[int(number) if named is None else named] = reference.by
    reasons[template.latest] = "it is the latest"
    reasons[template.default] = "it is the default"
    return tuple(
        VersionDecision(version, reasons.get(number) or ("" if _is_managed(version) else "it was not made by us"))
        for number, version in sorted(template.versions.items())
    )


def _is_managed(version: LaunchTemplateVersion) -> bool:
    told: Sequence[Mapping[str, Sequence[Mapping[str, str]]]] = version.data.get("TagSpecifications", [])
    return any(tag.get("Key") == AMI for specification in told for tag in specification.get("Tags", []))
