"""Decide which steps a copy of an image in another region or account still needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from goldenami.model.image import COPY_IN, COPY_OF, ORPHANED, PRUNED, Image
from goldenami.recipe.image import CopyTarget

# Tags about the source alone, which a copy does not get.
_SOURCE_TAGS = (PRUNED, ORPHANED, COPY_OF)


@dataclass(frozen=True)
class CopyState:
    """State of a copy.

    Attributes:
        image: The copy, or None if it does not exist.
        shared: Accounts that may launch it.
        candidate: Value of the destination's candidate parameter.
        allowed: True if the destination's account may read the source; always within one account.
        recorded: The copy's id in the tag of the source.
    """

    image: Image | None = None
    shared: frozenset[str] = field(default_factory=frozenset)
    candidate: str = ""
    allowed: bool = True
    recorded: str = ""


def destination_name(copy: CopyTarget) -> str:
    """Return the destination's name: `us-east-1`, or `us-east-1 (profile production)`."""
    return f"{copy.region} (profile {copy.profile})" if copy.profile else copy.region


def source_tag(copy: CopyTarget) -> str:
    """Return the name of the source's tag that records this copy."""
    return f"{COPY_IN}{copy.region}{':' + copy.profile if copy.profile else ''}"[:127]


def is_foreign(source: Image, image: Image) -> bool:
    """Return whether an image with the source's name is not a copy of it."""
    return image.tags.get(COPY_OF) != source.id


def remaining_steps(source: Image, copy: CopyTarget, state: CopyState) -> tuple[str, ...]:
    """Return the remaining steps in their order; empty if the copy is complete.

    A copy is tagged as verified after it is protected and shared, and published last.
    """
    image, steps = state.image, []
    if image is not None and image.state in ("failed", "error", "invalid"):
        restart = CopyState(None, candidate=state.candidate, allowed=state.allowed)
        return ("remove", *remaining_steps(source, copy, restart))
    if image is None:
        steps += [*([] if state.allowed else ["allow"]), "copy"]
    if image is None or image.state != "available":
        steps.append("wait")
    if source.imds == "v2.0" and (image is None or image.imds != "v2.0"):
        steps.append("protect")
    shared = state.shared if image is not None else frozenset()
    steps += [f"share {account}" for account in copy.share_with if account not in shared]
    if image is None or any(image.tags.get(name) != value for name, value in copied_tags(source).items()):
        steps.append("tag")
    if copy.publish and (image is None or state.candidate != image.id):
        steps.append("publish")
    if image is None or state.recorded != image.id:
        steps.append("record")
    return tuple(steps)


def copied_tags(source: Image) -> dict[str, str]:
    """Return the tags of a complete copy."""
    tags = {n: v for n, v in source.tags.items() if n not in _SOURCE_TAGS and not n.startswith((COPY_IN, "aws:"))}
    return {**tags, COPY_OF: source.id}


def token(source: Image, copy: CopyTarget, failed_ami: str) -> str:
    """Return the client token of a copy: the same for the same request, and another one after a failed copy."""
    request = "|".join([source.id, copy.region, copy.profile, copy.kms_key_id, failed_ami])
    return hashlib.sha256(request.encode()).hexdigest()[:40]
