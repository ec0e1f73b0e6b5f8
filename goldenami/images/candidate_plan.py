"""Choose the image to promote next: the published candidate, or another one if it was rolled back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goldenami.model.image import Image


@dataclass(frozen=True)
class Candidate:
    """The candidate's AMI id (empty if there is none), and the published image that it replaces because it was rolled back."""

    ami: str
    skipped: Image | None = None


def choose_candidate(images: Sequence[Image], published: str, name: str) -> Candidate:
    """Return the published image unless a promotion of it was rolled back; then the newest good image."""
    image = next((image for image in images if image.id == published), None)
    if image is None or not image.rolled_back:
        return Candidate(published)
    newest = newest_good(images, name)
    return Candidate(newest.id if newest else "", image)


def newest_good(images: Sequence[Image], name: str, storage_mode: str = "") -> Image | None:
    """Return the newest golden image that is known to be good, for instances of this storage mode if one is given."""
    good = [image for image in images if image.good and image.version(name)]
    if storage_mode:
        good = [image for image in good if image.storage_mode in ("", storage_mode)]
    return max(good, key=lambda image: image.age(name), default=None)
