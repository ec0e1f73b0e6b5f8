"""Versions of golden AMIs, such as v1.0, v1.1, v2.0."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from goldenami.errors import UsageError

_FORM = re.compile(r"v?(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(?:\.(0|[1-9]\d{0,8}))?", re.ASCII)


@dataclass(frozen=True, order=True)
class Version:
    """Version of a golden AMI, ordered by its numbers.

    `str()` is the short form of AMI names, with the patch number only if it is not zero (`v1.2`, `v1.2.1`); `tag` is the
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
        """Value of the AMI's Version tag."""
        return f"{self.major}.{self.minor}.{self.patch}"


def parse(text: str) -> Version:
    """Parse `v1.2`, `1.2` or `1.2.3`.

    Raises:
        UsageError: The text is not a version.
    """
    match = _FORM.fullmatch(text.strip())
    if not match:
        raise UsageError(f"'{text}' is not a version; expected a form like v1.2 or v1.2.1")
    return Version(*(int(part) for part in match.groups(default="0")))


def parse_name(name: str, image: str) -> Version | None:
    """Return the version in the AMI name `IMAGE-golden-v1.2`, or None for any other name."""
    prefix = f"{image}-golden-"
    if not name.startswith(prefix):
        return None
    try:
        return parse(name.removeprefix(prefix))
    except UsageError:
        return None


def ami_name(image: str, version: Version) -> str:
    """Return the name of the golden AMI: `IMAGE-golden-v1.2`."""
    return f"{image}-golden-{version}"


def next_after(taken: Iterable[Version], policy: str, now: datetime) -> Version:
    """Return the next version, greater than all in `taken`; the first is `v1.0` (or `v1.YYYYMM`).

    The policy `major`, `minor` or `patch` is the number to raise; `month` gives `v1.YYYYMM` (the monthly rebuild), with a
    patch number for a further one in the same month.
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
