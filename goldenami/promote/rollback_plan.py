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


def choose_target(scene: FleetState, known: Mapping[str, Image]) -> RollbackTarget | None:
    """The known-good image to go back to.

    When the fleet runs (or is being brought to) another image than the pointer names, a promotion has not come to its end:
    the pointer was never moved, so it names the good one. When they agree, it is the one that the pointer named before.

    Args:
        scene: The fleet.
        known: AMIs that exist, by id.

    Returns:
        None when there is none.
    """
    pointer = scene.pointer
    if pointer is None:
        return None
    ahead = sorted(set(_running(scene)) - {pointer.ami})
    if ahead and _good(known.get(pointer.ami)):
        return RollbackTarget(known[pointer.ami], f"the pointer names it, while the fleet has {', '.join(ahead)}")
    for earlier in reversed(scene.history[:-1]):
        if earlier.ami != pointer.ami and _good(known.get(earlier.ami)):
            return RollbackTarget(
                known[earlier.ami], f"production before {pointer.ami}, until {pointer.modified or 'then'}"
            )
    return None


def drift(scene: FleetState) -> Iterator[str]:
    """What the parts of the fleet say differently."""
    pointer, template, group, source = scene.pointer, scene.template, scene.group, scene.source
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
    if scene.trial is not None:
        yield f"{scene.trial.group.name} of version {scene.trial.group.version} takes {scene.trial.weight} % of the requests"
    stray = [m for m in group.members if m.version != group.number and not m.lifecycle.startswith("Terminat")]
    if stray:
        told = ", ".join(f"{m.id} (version {m.version})" for m in stray)
        yield f"not of the group's version {group.version}: {told}"
    for member in group.members:
        if member.drifted:
            yield f"{member.id} was changed in place: {member.drifted}"


def _running(scene: FleetState) -> Iterator[str]:
    if scene.group is None:
        if scene.template is not None:
            yield scene.template.versions[scene.template.default].image
        return
    if scene.source is not None:
        yield scene.source.image
    active = scene.active
    if active is not None and active.rolling and active.version is not None and scene.template is not None:
        version = scene.template.versions.get(active.version)
        if version is not None:
            yield version.image
    members = [*scene.group.members, *(scene.trial.group.members if scene.trial else ())]
    yield from (m.image for m in members if m.image and not m.lifecycle.startswith("Terminat"))


def _good(image: Image | None) -> bool:
    return image is not None and image.state == "available" and image.verified
