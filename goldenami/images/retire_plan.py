"""Decide what retiring a bad image means: which images are marked with it, and what must no longer point at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goldenami.model.image import COPY_IN, Image
from goldenami.model.references import parent_references


@dataclass(frozen=True)
class RetirementPlan:
    """What is to be done.

    Attributes:
        images: The image and all that was made from it, as far as they are not marked yet; the children first, so that one
            that died half-way is recognised by its parent.
        candidate: The good image that becomes the candidate, where one of them is it; None where that stays.
        warnings: What people must know: where such an image still serves, or is still pointed at.
    """

    images: tuple[Image, ...]
    candidate: Image | None
    warnings: tuple[str, ...]


def family(image: Image, owned: Sequence[Image]) -> tuple[Image, ...]:
    """An image with all that was made from it, however indirectly; itself last."""
    children: dict[str, list[str]] = {}
    known = {one.id: one for one in (*owned, image)}
    for one in owned:
        for parent in parent_references([one]):
            children.setdefault(parent.resource_id, []).append(one.id)
    found, waiting = {image.id: image}, [image.id]
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found:
                found[child] = known[child]
                waiting.append(child)
    return tuple(reversed(found.values()))


def plan(image: Image, owned: Sequence[Image], name: str, *, candidate: str, production: str) -> RetirementPlan:
    """What retiring an image means.

    Args:
        image: The bad one.
        owned: Every AMI of the account.
        name: The recipe's image name.
        candidate: What the candidate parameter says.
        production: What the production parameter says.
    """
    bad = family(image, owned)
    ids = {one.id for one in bad}
    good = [i for i in owned if i.id not in ids and i.verified and i.state == "available" and i.version(name)]
    newest = max(good, key=lambda i: i.age(name), default=None)
    warnings = []
    if production in ids:
        warnings.append(f"{production} is in production: ./invoke rollback takes the fleet back to a good one")
    if candidate in ids and newest is None:
        warnings.append("the candidate stays with it, for there is no other good image; promote refuses it")
    for one in bad:
        for tag, copy in one.tags.items():
            if tag.startswith(COPY_IN):
                warnings.append(f"{copy} is a copy of {one.id} in {tag.removeprefix(COPY_IN)}: retire it there as well")
    return RetirementPlan(
        images=tuple(one for one in bad if not one.retired),
        candidate=newest if candidate in ids else None,
        warnings=tuple(warnings),
    )
