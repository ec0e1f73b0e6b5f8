"""What we know of an AMI: its facts from EC2, and the tags by which we recognise our own."""

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
# Kept whatever the policy says; found bad by people; deprecated by a prune; a snapshot whose image a prune deregisters.
KEEP = PREFIX + "keep"
RETIRED = PREFIX + "retired"
PRUNED = PREFIX + "pruned"
ORPHANED = PREFIX + "orphan-of"
# A copy's original; and, on the original, where its copies are: `goldenami:copy-in:us-east-1`.
COPY_OF = PREFIX + "copy-of"
COPY_IN = PREFIX + "copy-in:"


@dataclass(frozen=True)
class Platform:
    """A distribution on a processor; either is empty where nobody knows it.

    The order of texts, and with it each index, comes from the C library; the bytes of a row from the processor.
    https://wiki.postgresql.org/wiki/Locale_data_changes
    """

    family: str = ""
    architecture: str = ""

    def __str__(self) -> str:
        return f"{self.family or 'an unknown distribution'} on {self.architecture or 'an unknown processor'}"

    def is_compatible(self, other: Platform) -> bool:
        """Whether one may use the other's data directory as it is, as far as both are known."""
        pairs = ((self.family, other.family), (self.architecture, other.architecture))
        return all(not mine or not theirs or mine == theirs for mine, theirs in pairs)


@dataclass(frozen=True)
class Image:
    """An AMI.

    Attributes:
        id: Like `ami-0123456789abcdef0`.
        state: EC2's word: `pending`, `available`, `failed`, …
        created: When, as EC2 writes it (ISO 8601, UTC).
        size_gib: The size of the root volume, in GiB.
        snapshots: Ids of the snapshots behind it.
        deprecated: When it is, or will be, deprecated (ISO 8601); empty when nobody has said so.
        protection: EC2's word for its deregistration protection; `disabled` or empty where it has none.
        source: The AMI that it was made from or is a copy of, as far as EC2 knows.
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
        """`base` or `app` for ours, empty otherwise."""
        return self.tags.get(LAYER, "")

    @property
    def fingerprint(self) -> str:
        """Digest of everything that went in, or empty."""
        return self.tags.get(FINGERPRINT, "")

    @property
    def storage_mode(self) -> str:
        """Where its instances keep their data: the recipe's `[database] mode` when it was baked; empty where nobody wrote it."""
        return self.tags.get(STORAGE_MODE, "")

    @property
    def platform(self) -> Platform:
        """What a data directory that it has written may only be used by."""
        return Platform(self.tags.get(FAMILY, ""), self.architecture)

    @property
    def verified(self) -> bool:
        """Whether it passed both gates, and nobody has retired it since."""
        return VERIFIED in self.tags and FAILED not in self.tags and RETIRED not in self.tags

    @property
    def retired(self) -> str:
        """Why it was retired, or empty."""
        return self.tags.get(RETIRED, "")

    @property
    def failed(self) -> bool:
        """Whether a gate refused it."""
        return FAILED in self.tags

    @property
    def bad(self) -> bool:
        """Whether a gate refused it, or people have retired it."""
        return self.failed or bool(self.retired)

    @property
    def alive(self) -> bool:
        """Whether it is, or is about to be, something to launch from."""
        return self.state in ("pending", "available")

    def age(self, image_name: str) -> tuple[str, Version, str]:
        """What orders images of a name by age: EC2 tells whole seconds, so versions and ids decide between two of one."""
        return self.created, self.version(image_name) or Version(-1, 0), self.id

    def version(self, image_name: str) -> Version | None:
        """Its version, from its name."""
        return parse_name(self.name, image_name)


def base_name(image_name: str, fingerprint: str, run_id: str) -> str:
    """The name of a base AMI: it tells the fingerprint even where its tags were never written."""
    return f"{image_name}-base-{fingerprint[:12]}-{run_id}"


def is_managed(name: str, image_name: str) -> bool:
    """Whether an AMI's name is a golden or base AMI's of this image (and not of one called `IMAGE-base`, say)."""
    base = re.match(rf"{re.escape(image_name)}-base-[0-9a-f]{{12}}-", name)
    return base is not None or parse_name(name, image_name) is not None


def is_base_of(name: str, image_name: str, fingerprint: str) -> bool:
    """Whether an AMI's name says that it is the base layer with this fingerprint."""
    return name.startswith(f"{image_name}-base-{fingerprint[:12]}-")


VOLUME_TAG = PREFIX + "data"


def short_commit(commit: str) -> str:
    """A commit as people write it: 12 digits of a git one, and of the digest of a directory."""
    return re.sub(r"([0-9a-f]{12})[0-9a-f]+", r"\1", commit) or "no known commit"


def image_status(image: Image) -> str:
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
