"""`invoke images`: what is there, newest version first."""

from __future__ import annotations

from dataclasses import dataclass

from goldenami.aws import images, parameters
from goldenami.context import Shop
from goldenami.model.image import Image
from goldenami.model.version import Version


@dataclass(frozen=True)
class Entry:
    """An AMI of ours with what it is to us."""

    image: Image
    version: Version | None
    status: str
    candidate: bool


def catalogue(shop: Shop) -> list[Entry]:
    """Every AMI of this recipe's name, golden ones first, newest first."""
    pointer = parameters.get(shop.aws, shop.candidate)
    entries = [
        Entry(image, image.version(shop.name), status(image), bool(pointer and pointer.value == image.id))
        for image in images.of_family(shop.aws, shop.name)
    ]
    return sorted(entries, key=lambda e: (e.version or Version(-1, 0), e.image.created), reverse=True)


def status(image: Image) -> str:
    """One word for people: verified, retired, failed, base, unverified, or EC2's state while it is not available."""
    if image.state != "available":
        return image.state
    if image.retired:
        return "retired"
    if image.failed:
        return "failed"
    if image.verified:
        return "verified"
    return "base" if image.layer == "base" else "unverified"
