"""Choose what to roll back to from the production parameter, the template and the group, also if they differ. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from goldenami.model.fleet import FleetState
from goldenami.model.image import Image


@dataclass(frozen=True)
class RollbackTarget:
    """The image to roll back to, and why that one."""

    image: Image
    reason: str


def choose_target(fleet_state: FleetState, known: Mapping[str, Image]) -> RollbackTarget | None:
    """Return the known good image to roll back to, or None.

    If the fleet runs (or is being brought to) another image than the production parameter's, a promotion was not committed:
    the parameter still has the good one. If they agree, it is the parameter's previous image.

    Args:
        fleet_state: The current state of the fleet.
        known: Existing AMIs, by id.
    """
    pointer = fleet_state.pointer
    if pointer is None:
        return None
    running = set(running_images(fleet_state))
    uncommitted = sorted(running - {pointer.ami})
    if uncommitted and _is_good(known.get(pointer.ami)):
        return RollbackTarget(known[pointer.ami], f"in production, while the fleet runs {', '.join(uncommitted)}")
    for earlier in reversed(fleet_state.history[:-1]):
        if earlier.ami not in {pointer.ami, *running} and _is_good(known.get(earlier.ami)):
            until = f", until {pointer.modified}" if pointer.modified else ""
            return RollbackTarget(known[earlier.ami], f"in production before {pointer.ami}{until}")
    return None


def drift(fleet_state: FleetState) -> Iterator[str]:
    """Yield the differences between the production parameter, the template and the group, and changes in place."""
    yield from differences(fleet_state)
    yield from changes_in_place(fleet_state)


def changes_in_place(fleet_state: FleetState) -> Iterator[str]:
    """Yield the members of the group that differ from their image."""
    for member in fleet_state.group.members if fleet_state.group else ():
        if member.drifted:
            yield f"{member.id} was changed in place: {member.drifted}"


def differences(fleet_state: FleetState) -> Iterator[str]:
    """Yield the differences between the production parameter, the template and the group."""
    pointer, template, group = fleet_state.pointer, fleet_state.template, fleet_state.group
    source, canary = fleet_state.source_version, fleet_state.canary
    if template is not None and pointer is not None:
        default = template.versions.get(template.default)
        if default is not None and default.image != pointer.ami:
            yield f"the template's default version {template.default} has {default.image}, production is {pointer.ami}"
    if group is None:
        return
    if group.number is None:
        yield f"the group launches {group.version}, which cannot be rolled back"
    elif source is None or source.number != group.number:
        yield f"the group launches version {group.number}, which the template does not have"
    elif pointer is not None and source.image != pointer.ami:
        yield f"the group launches version {group.number} with {source.image}, production is {pointer.ami}"
    if template is not None and group.number is not None and group.number != template.default:
        yield f"the group launches version {group.number}, the template's default is {template.default}"
    if canary is not None:
        yield f"{canary.group.name} of version {canary.group.version} receives {canary.weight} % of the requests"
    others = [m for m in group.members if m.version != group.number and not m.lifecycle.startswith("Terminat")]
    if others:
        names = ", ".join(f"{m.id} (version {m.version})" for m in others)
        yield f"not of the group's version {group.version}: {names}"


def missing_images(fleet_state: FleetState, known: Container[str]) -> Iterator[str]:
    """Yield the released image and the running ones that do not exist, so that no instance can be launched from them.

    Args:
        known: Existing AMIs, by id.
    """
    pointer = fleet_state.pointer
    if pointer is not None and pointer.ami not in known:
        yield f"{pointer.ami} is in production, but was deregistered: no instance can be launched from it"
    for ami in sorted(set(running_images(fleet_state)) - {pointer.ami if pointer else ""}):
        if ami.startswith("ami-") and ami not in known:
            yield f"the fleet runs {ami}, which was deregistered: no instance can be launched from it"


def running_images(fleet_state: FleetState) -> Iterator[str]:
    """Yield the images that the fleet runs or is being brought to."""
    template, group, active = fleet_state.template, fleet_state.group, fleet_state.active_refresh
    if group is None:
        if template is not None:
            yield template.versions[template.default].image
        return
    if fleet_state.source_version is not None:
        yield fleet_state.source_version.image
    if active is not None and active.is_running and active.version is not None and template is not None:
        version = template.versions.get(active.version)
        if version is not None:
            yield version.image
    members = [m for m in group.members if not group.keeps(m)]
    members = [*members, *(fleet_state.canary.group.members if fleet_state.canary else ())]
    yield from (m.image for m in members if m.image and not m.lifecycle.startswith("Terminat"))


def _is_good(image: Image | None) -> bool:
    return image is not None and image.state == "available" and image.verified
