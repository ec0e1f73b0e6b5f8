"""Versions of golden AMIs: v1.0 → v1.1 → v1.2 → v2.0, and what comes next."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from goldenami.errors import UsageError

_FORM = re.compile(r"v?(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(?:\.(0|[1-9]\d{0,8}))?", re.ASCII)


@dataclass(frozen=True, order=True)
class Version:
    """A version of a golden AMI; ordered by its numbers.

    `str()` is the short form of AMI names (`v1.2`, with the patch only where there is one: `v1.2.1`); `tag` is the
    full form of the Version tag (`1.2.0`).
    """

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        short = f"v{self.major}.{self.minor}"
        return f"{short}.{self.patch}" if self.patch else short

    @property
    def tag(self) -> str:
        """The value of the AMI's Version tag."""
        return f"{self.major}.{self.minor}.{self.patch}"


def parse(text: str) -> Version:
    """Read `v1.2`, `1.2` or `1.2.3`.

    Raises:
        UsageError: The text is no version.
    """
    found = _FORM.fullmatch(text.strip())
    if not found:
        raise UsageError(f"'{text}' is not a version; expected a form like v1.2 or v1.2.1")
    return Version(*(int(part) for part in found.groups(default="0")))


def parse_name(name: str, image: str) -> Version | None:
    """The version in the AMI name `IMAGE-golden-v1.2`, or None for another name."""
    prefix = f"{image}-golden-"
    if not name.startswith(prefix):
        return None
    try:
        return parse(name.removeprefix(prefix))
    except UsageError:
        return None


def ami_name(image: str, version: Version) -> str:
    """The name of the golden AMI: `IMAGE-golden-v1.2`."""
    return f"{image}-golden-{version}"


def next_after(taken: Iterable[Version], policy: str, now: datetime) -> Version:
    """The next version, above every one that was ever taken.

    Args:
        taken: Every version that an AMI has, or that was claimed for one; none of them is used again.
        policy: `major`, `minor` or `patch` says which number to raise; `month` gives `v1.YYYYMM` (the monthly
            rebuild), with a patch for a further one in the same month.
        now: Today, for `month`.

    Returns:
        A version greater than all that were taken; `v1.0` (or `v1.YYYYMM`) for the very first.
    """
    latest = max(taken, default=None)
    if policy == "month":
        month = Version(latest.major if latest else 1, now.year * 100 + now.month)
        if latest is None or month > latest:
            return month
        return Version(latest.major, latest.minor, latest.patch + 1)
    if latest is None:
        return Version(1, 0)
    if policy == "major":
        return Version(latest.major + 1, 0)
    if policy == "patch":
        return Version(latest.major, latest.minor, latest.patch + 1)
    return Version(latest.major, latest.minor + 1)
