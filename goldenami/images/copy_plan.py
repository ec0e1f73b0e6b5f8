"""Copies of an image in other regions and accounts: the recipe's section, and what remains to be done for each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from goldenami.model.image import COPY_IN, COPY_OF, ORPHANED, PRUNED, Image
from goldenami.recipe.image import CopyTarget

# What a copy does not take over from its original: what is about the original alone.
_PER_COPY_TAGS = (PRUNED, ORPHANED, COPY_OF)


@dataclass(frozen=True)
class CopyState:
    """How far a copy is.

    Attributes:
        image: The copy, or None when there is none yet.
        shared: The accounts that may launch it.
        candidate: What the candidate parameter there says.
        allowed: Whether the account there may read the original; true within one account.
        noted: What the original's tag says about this copy.
    """

    image: Image | None = None
    shared: frozenset[str] = field(default_factory=frozenset)
    candidate: str = ""
    allowed: bool = True
    recorded: str = ""


def destination_name(copy: CopyTarget) -> str:
    """What a copy's place is called: `us-east-1`, or `us-east-1 (profile production)`."""
    return f"{copy.region} (profile {copy.profile})" if copy.profile else copy.region


def source_description(copy: CopyTarget) -> str:
    """The tag on the original that names this copy."""
    return f"{COPY_IN}{copy.region}{':' + copy.profile if copy.profile else ''}"[:127]


def conflict(source: Image, found: Image | None) -> bool:
    """Whether an image of this name is there that is no copy of the original."""
    return found is not None and found.tags.get(COPY_OF) != source.id


def remaining_steps(source: Image, copy: CopyTarget, seen: CopyState) -> tuple[str, ...]:
    """What is still to be done, in this order; nothing when the copy is whole.

    It is marked as verified only once it is protected and shared as it should be, and published last.
    """
    found, steps = seen.image, []
    if found is not None and found.state in ("failed", "error", "invalid"):
        return (
            "remove",
            *remaining_steps(source, copy, CopyState(None, candidate=seen.candidate, allowed=seen.allowed)),
        )
    if found is None:
        steps += [*([] if seen.allowed else ["allow"]), "copy"]
    if found is None or found.state != "available":
        steps.append("wait")
    if source.imds == "v2.0" and (found is None or found.imds != "v2.0"):
        steps.append("protect")
    shared = seen.shared if found is not None else frozenset()
    steps += [f"share {account}" for account in copy.share_with if account not in shared]
    wanted = copied_tags(source)
    if found is None or any(found.tags.get(name) != value for name, value in wanted.items()):
        steps.append("tag")
    if copy.publish and (found is None or seen.candidate != found.id):
        steps.append("publish")
    if found is None or seen.recorded != found.id:
        steps.append("note")
    return tuple(steps)


def copied_tags(source: Image) -> Mapping[str, str]:
    """The tags that a copy has in the end."""
    kept = {n: v for n, v in source.tags.items() if n not in _PER_COPY_TAGS and not n.startswith((COPY_IN, "aws:"))}
    return {**kept, COPY_OF: source.id}


def token(source: Image, copy: CopyTarget, former: str) -> str:
    """The client token of a copy: the same for the same wish, however often it is made; another one after a failed copy."""
    told = "|".join([source.id, copy.region, copy.profile, copy.kms_key_id, former])
    return hashlib.sha256(told.encode()).hexdigest()[:40]
