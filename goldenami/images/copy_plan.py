"""Copies of an image in other regions and accounts: the recipe's section, and what remains to be done for each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from goldenami.model.image import COPY_IN, COPY_OF, ORPHANED, PRUNED, Image
from goldenami.recipe.fields import AccountId, Frozen, KmsKey, Profile, Region, Section, key

# What a copy does not take over from its original: what is about the original alone.
_OWN = (PRUNED, ORPHANED, COPY_OF)


class Copy(Section):
    """A region, of this account or another one, that images are copied to."""

    region: Region = key(means="The region.", expected="a region such as us-east-1", example="us-east-1")
    profile: Profile = key(
        "",
        means="A profile of ~/.aws/config for another account, which then owns the copy; empty stays in this one.",
        expected="the name of a profile",
        example="production",
    )
    kms_key_id: KmsKey = key(
        "",
        means="The KMS key of that region that encrypts the copy; empty takes that account's default key for EBS.",
        expected="a KMS key id, alias/NAME or ARN",
        example="alias/golden",
    )
    share_with: Annotated[tuple[AccountId, ...], Frozen] = key(
        (),
        means="Accounts that may launch the copy; an encrypted one needs `kms_key_id`, whose policy lets them use it.",
        expected="a list of account ids of 12 digits",
        example=["210987654321"],
    )
    publish: bool = key(
        True,
        means="Whether the copy becomes the candidate there: the parameter that `promote --candidate` reads.",
        expected="true or false",
        example=True,
    )


@dataclass(frozen=True)
class Seen:
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
    noted: str = ""


def place(copy: Copy) -> str:
    """What a copy's place is called: `us-east-1`, or `us-east-1 (profile production)`."""
    return f"{copy.region} (profile {copy.profile})" if copy.profile else copy.region


def note(copy: Copy) -> str:
    """The tag on the original that names this copy."""
    return f"{COPY_IN}{copy.region}{':' + copy.profile if copy.profile else ''}"[:127]


def conflict(source: Image, found: Image | None) -> bool:
    """Whether an image of this name is there that is no copy of the original."""
    return found is not None and found.tags.get(COPY_OF) != source.id


def remaining(source: Image, copy: Copy, seen: Seen) -> tuple[str, ...]:
    """What is still to be done, in this order; nothing when the copy is whole.

    It is marked as verified only once it is protected and shared as it should be, and published last.
    """
    found, steps = seen.image, []
    if found is not None and found.state in ("failed", "error", "invalid"):
        return ("remove", *remaining(source, copy, Seen(None, candidate=seen.candidate, allowed=seen.allowed)))
    if found is None:
        steps += [*([] if seen.allowed else ["allow"]), "copy"]
    if found is None or found.state != "available":
        steps.append("wait")
    if source.imds == "v2.0" and (found is None or found.imds != "v2.0"):
        steps.append("protect")
    shared = seen.shared if found is not None else frozenset()
    steps += [f"share {account}" for account in copy.share_with if account not in shared]
    wanted = carried(source)
    if found is None or any(found.tags.get(name) != value for name, value in wanted.items()):
        steps.append("tag")
    if copy.publish and (found is None or seen.candidate != found.id):
        steps.append("publish")
    if found is None or seen.noted != found.id:
        steps.append("note")
    return tuple(steps)


def carried(source: Image) -> Mapping[str, str]:
    """The tags that a copy has in the end."""
    kept = {n: v for n, v in source.tags.items() if n not in _OWN and not n.startswith((COPY_IN, "aws:"))}
    return {**kept, COPY_OF: source.id}


def token(source: Image, copy: Copy, former: str) -> str:
    """The client token of a copy: the same for the same wish, however often it is made; another one after a failed copy."""
    told = "|".join([source.id, copy.region, copy.profile, copy.kms_key_id, former])
    return hashlib.sha256(told.encode()).hexdigest()[:40]
