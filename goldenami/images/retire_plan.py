"""Decide which images are retired with a bad one, and which image becomes the candidate instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goldenami.model.image import COPY_IN, Image
from goldenami.model.references import parent_references


@dataclass(frozen=True)
class RetirementPlan:
    """What a retirement changes.

    Attributes:
        images: The image and all images made from it that are not retired yet. Children come first, so that an interrupted
            run is resumed from the parent.
        candidate: The image that becomes the candidate; None if the candidate does not change.
        warnings: Where a retired image is still in use.
    """

    images: tuple[Image, ...]
    candidate: Image | None
    warnings: tuple[str, ...]


def family(image: Image, owned: Sequence[Image]) -> tuple[Image, ...]:
    """Return an image and all images made from it, directly or indirectly; the image comes last."""
    children: dict[str, list[Image]] = {}
    for child in owned:
        for parent in parent_references([child]):
            children.setdefault(parent.resource_id, []).append(child)
    members, waiting = {image.id: image}, [image.id]
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child.id not in members:
                members[child.id] = child
                waiting.append(child.id)
    return tuple(reversed(members.values()))


def plan(image: Image, owned: Sequence[Image], name: str, *, candidate: str, production: str) -> RetirementPlan:
    """Plan the retirement of an image."""
    bad = family(image, owned)
    ids = {member.id for member in bad}
    good = [i for i in owned if i.id not in ids and i.good and i.version(name)]
    newest = max(good, key=lambda i: i.age(name), default=None)
    warnings = []
    if production in ids:
        warnings.append(f"{production} is in production: ./invoke rollback returns the fleet to a good image")
    if candidate in ids and newest is None:
        warnings.append("the candidate is unchanged, as there is no other good image; promote refuses it")
    warnings += [
        f"{copy} is a copy of {member.id} in {tag.removeprefix(COPY_IN)}: retire it there as well"
        for member in bad
        for tag, copy in member.tags.items()
        if tag.startswith(COPY_IN)
    ]
    return RetirementPlan(
        images=tuple(member for member in bad if not member.retired),
        candidate=newest if candidate in ids else None,
        warnings=tuple(warnings),
    )
