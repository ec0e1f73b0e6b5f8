"""AMIs: their description by EC2, and the tags of those that goldenami manages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from goldenami.model.version import Version, parse_name

Layer = Literal["base", "app"]

PREFIX = "goldenami:"
RUN = PREFIX + "run"
IMAGE = PREFIX + "image"
LAYER = PREFIX + "layer"
FINGERPRINT = PREFIX + "fingerprint"
SOURCE_AMI = PREFIX + "source-ami"
COMMIT = PREFIX + "commit"
STORAGE_MODE = PREFIX + "database"
FAMILY = PREFIX + "family"
VERIFIED = PREFIX + "verified"
FAILED = PREFIX + "failed"
# An instance outside the fleet that runs a release step.
RELEASE = PREFIX + "release"
# Kept by prune; retired by an operator; deprecated by prune; a snapshot whose image prune has deregistered.
KEEP = PREFIX + "keep"
RETIRED = PREFIX + "retired"
ROLLED_BACK = PREFIX + "rolled-back"
PRUNED = PREFIX + "pruned"
ORPHANED = PREFIX + "orphan-of"
# The original of a copy; and, on the original, the copy in a region: `goldenami:copy-in:us-east-1`.
COPY_OF = PREFIX + "copy-of"
COPY_IN = PREFIX + "copy-in:"


@dataclass(frozen=True)
class Platform:
    """Distribution and processor architecture; empty if unknown.

    The C library determines the order of texts, and so of indexes; the processor determines the storage format.
    https://wiki.postgresql.org/wiki/Locale_data_changes
    """

    family: str = ""
    architecture: str = ""

    def __str__(self) -> str:
        return f"{self.family or 'an unknown distribution'} on {self.architecture or 'an unknown processor'}"

    def is_compatible(self, other: Platform) -> bool:
        """Return True if both can use the same data directory, as far as they are known."""
        pairs = ((self.family, other.family), (self.architecture, other.architecture))
        return all(not mine or not theirs or mine == theirs for mine, theirs in pairs)


@dataclass(frozen=True)
class Image:
    """AMI.

    Attributes:
        id: Such as `ami-0123456789abcdef0`.
        state: EC2's state: `pending`, `available`, `failed`, …
        created: Creation time (ISO 8601, UTC).
        size_gib: Size of the root volume in GiB.
        snapshots: Ids of its snapshots.
        deprecated: Deprecation time (ISO 8601); empty if it is not deprecated.
        protection: EC2's deregistration protection; `disabled` or empty if it has none.
        source: The AMI that it was created from or is a copy of, if EC2 knows it.
    """

    id: str
    name: str
    state: str
    architecture: str
    created: str
    root_device: str = "/dev/xvda"
    size_gib: int = 0
    snapshots: tuple[str, ...] = ()
    imds: str = ""
    public: bool = False
    encrypted: bool = False
    deprecated: str = ""
    protection: str = ""
    source: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def layer(self) -> str:
        """`base` or `app` for a managed image, empty otherwise."""
        return self.tags.get(LAYER, "")

    @property
    def fingerprint(self) -> str:
        """Digest of the image's inputs, or empty."""
        return self.tags.get(FINGERPRINT, "")

    @property
    def storage_mode(self) -> str:
        """Storage mode of its instances: the recipe's `[database] mode` when it was baked; empty if unknown."""
        return self.tags.get(STORAGE_MODE, "")

    @property
    def platform(self) -> Platform:
        """Platform with which its data directories are compatible."""
        return Platform(self.tags.get(FAMILY, ""), self.architecture)

    @property
    def verified(self) -> bool:
        """True if it passed both gates and was not retired."""
        return VERIFIED in self.tags and FAILED not in self.tags and RETIRED not in self.tags

    @property
    def retired(self) -> str:
        """Reason why it was retired, or empty."""
        return self.tags.get(RETIRED, "")

    @property
    def rolled_back(self) -> str:
        """When and why a promotion of it was rolled back, or empty."""
        return self.tags.get(ROLLED_BACK, "")

    @property
    def good(self) -> bool:
        """True if it can be launched and is known to be good: available, verified, and not rolled back."""
        return self.state == "available" and self.verified and not self.rolled_back

    @property
    def failed(self) -> bool:
        """True if a gate rejected it."""
        return FAILED in self.tags

    @property
    def bad(self) -> bool:
        """True if a gate rejected it or it was retired."""
        return self.failed or bool(self.retired)

    @property
    def alive(self) -> bool:
        """True if it is available or will be."""
        return self.state in ("pending", "available")

    def age(self, image_name: str) -> tuple[str, Version, str]:
        """Return the key that sorts images by age; EC2 rounds to seconds, so version and id decide within one."""
        return self.created, self.version(image_name) or Version(-1, 0), self.id

    def version(self, image_name: str) -> Version | None:
        """Return the version in its name."""
        return parse_name(self.name, image_name)


def base_name(image_name: str, fingerprint: str, run_id: str) -> str:
    """Return the name of a base AMI. It has the fingerprint, since an interrupted bake may not write the tags."""
    return f"{image_name}-base-{fingerprint[:12]}-{run_id}"


def is_managed(name: str, image_name: str) -> bool:
    """Return True if an AMI's name is that of a golden or base AMI of this image (not of one named `IMAGE-base`)."""
    base = re.match(rf"{re.escape(image_name)}-base-[0-9a-f]{{12}}-", name)
    return base is not None or parse_name(name, image_name) is not None


def is_base_of(name: str, image_name: str, fingerprint: str) -> bool:
    """Return True if an AMI's name is that of the base layer with this fingerprint."""
    return name.startswith(f"{image_name}-base-{fingerprint[:12]}-")


VOLUME_TAG = PREFIX + "data"


def short_commit(commit: str) -> str:
    """Shorten a git commit, or the digest of a directory, to 12 digits."""
    return re.sub(r"([0-9a-f]{12})[0-9a-f]+", r"\1", commit) or "no known commit"


def image_status(image: Image) -> str:
    """Return an image's status: verified, rolled back, retired, failed, …, or EC2's state if it is not available."""
    if image.state != "available":
        return image.state
    if image.retired:
        return "retired"
    if image.failed:
        return "failed"
    if image.verified:
        return "rolled back" if image.rolled_back else "verified"
    return "base" if image.layer == "base" else "unverified"
