"""Decide what to go back to, from what the pointer, the template and the group say; also when they do not agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from goldenami.model.fleet import FleetState
from goldenami.model.image import Image


@dataclass(frozen=True)
class RollbackTarget:
    """The image to go back to, and why that one."""

    image: Image
    reason: str


def choose_target(fleet_state: FleetState, known: Mapping[str, Image]) -> RollbackTarget | None:
    """The known-good image to go back to.

    When the fleet runs (or is being brought to) another image than the pointer names, a promotion has not come to its end:
    the pointer was never moved, so it names the good one. When they agree, it is the one that the pointer named before.

    Args:
        scene: The fleet.
        known: AMIs that exist, by id.

    Returns:
        None when there is none.
    """
    pointer = fleet_state.pointer
    if pointer is None:
        return None
    ahead = sorted(set(_running(fleet_state)) - {pointer.ami})
    if ahead and _good(known.get(pointer.ami)):
        return RollbackTarget(known[pointer.ami], f"the pointer names it, while the fleet has {', '.join(ahead)}")
    for earlier in reversed(fleet_state.history[:-1]):
        if earlier.ami != pointer.ami and _good(known.get(earlier.ami)):
            return RollbackTarget(
                known[earlier.ami], f"production before {pointer.ami}, until {pointer.modified or 'then'}"
            )
    return None


def drift(fleet_state: FleetState) -> Iterator[str]:
    """What the parts of the fleet say differently."""
    pointer, template, group, source = (
        fleet_state.pointer,
        fleet_state.template,
        fleet_state.group,
        fleet_state.source_version,
    )
    if template is not None and pointer is not None:
        default = template.versions.get(template.default)
        if default is not None and default.image != pointer.ami:
            yield f"the template's default version {template.default} has {default.image}, the pointer names {pointer.ami}"
    if group is None:
        return
    if group.number is None:
        yield f"the group launches {group.version}, which cannot be rolled back"
    elif source is None or source.number != group.number:
        yield f"the group launches version {group.number}, which the template does not have"
    elif pointer is not None and source.image != pointer.ami:
        yield f"the group launches version {group.number} with {source.image}, the pointer names {pointer.ami}"
    if template is not None and group.number is not None and group.number != template.default:
        yield f"the group launches version {group.number}, the template's default is {template.default}"
    if fleet_state.canary is not None:
        canary = fleet_state.canary
        yield f"{canary.group.name} of version {canary.group.version} takes {canary.weight} % of the requests"
    stray = [m for m in group.members if m.version != group.number and not m.lifecycle.startswith("Terminat")]
    if stray:
        told = ", ".join(f"{m.id} (version {m.version})" for m in stray)
        yield f"not of the group's version {group.version}: {told}"
    for member in group.members:
        if member.drifted:
            yield f"{member.id} was changed in place: {member.drifted}"


def _running(fleet_state: FleetState) -> Iterator[str]:
    if fleet_state.group is None:
        if fleet_state.template is not None:
            yield fleet_state.template.versions[fleet_state.template.default].image
        return
    if fleet_state.source_version is not None:
        yield fleet_state.source_version.image
    active = fleet_state.active_refresh
    if active is not None and active.is_running and active.version is not None and fleet_state.template is not None:
        version = fleet_state.template.versions.get(active.version)
        if version is not None:
            yield version.image
    members = [*fleet_state.group.members, *(fleet_state.canary.group.members if fleet_state.canary else ())]
    yield from (m.image for m in members if m.image and not m.lifecycle.startswith("Terminat"))


def _good(image: Image | None) -> bool:
    return image is not None and image.state == "available" and image.verified
