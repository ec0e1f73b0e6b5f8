"""What two images have differently: packages with their versions, services, ports, users, setuid files, vulnerabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from goldenami.model.image import COMMIT, SOURCE_AMI, Image, short_commit
from goldenami.model.inventory import ImageInventory

DifferenceKind = Literal["added", "removed", "changed"]
_GROUPS = {"units": "unit", "listening": "port", "users": "user", "setuid": "setuid file"}


@dataclass(frozen=True)
class Difference:
    """One thing that differs: its kind (`package`, `unit`, …), its name, and what it was and is, where it has a value."""

    kind: str
    what: DifferenceKind
    name: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Vulnerability:
    """An advisory that is about one of the two images only."""

    id: str
    what: Literal["fixed", "new"]
    packages: tuple[str, ...]
    summary: str = ""


@dataclass(frozen=True)
class ImageDiff:
    """All of it.

    Attributes:
        missing: What could not be compared, and why, in words.
        remaining: Advisories that are about both.
    """

    differences: tuple[Difference, ...]
    vulnerabilities: tuple[Vulnerability, ...] = ()
    remaining: int = 0
    missing: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def compare(before: ImageInventory, after: ImageInventory) -> ImageDiff:
    """What differs between two images' facts."""
    found = [
        Difference("image", _kind(before.values.get(name, ""), now), name, before.values.get(name, ""), now)
        for name, now in after.values.items()
        if now != before.values.get(name, "")
    ]
    old = {name: package.version for name, package in before.packages.items()}
    new = {name: package.version for name, package in after.packages.items()}
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            was, now = old.get(name, ""), new.get(name, "")
            found.append(Difference("package", _kind(was, now), name, was, now))
    missing = []
    for group, kind in _GROUPS.items():
        was_there, is_there = before.groups.get(group), after.groups.get(group)
        if was_there is None or is_there is None:
            missing.append(f"{kind}s were not written down for the {'first' if was_there is None else 'second'} image")
            continue
        found += [Difference(kind, "removed", name) for name in was_there if name not in is_there]
        found += [Difference(kind, "added", name) for name in is_there if name not in was_there]
    return ImageDiff(tuple(found), missing=tuple(missing))


def match_vulnerabilities(
    before: Mapping[str, tuple[str, ...]], after: Mapping[str, tuple[str, ...]], summaries: Mapping[str, str]
) -> tuple[tuple[Vulnerability, ...], int]:
    """Which advisories the second image no longer has, and which only it has; and how many both have."""
    fixed = [Vulnerability(i, "fixed", before[i], summaries.get(i, "")) for i in before if i not in after]
    new = [Vulnerability(i, "new", after[i], summaries.get(i, "")) for i in after if i not in before]
    return (*new, *fixed), len(before.keys() & after.keys())


def _kind(before: str, after: str) -> DifferenceKind:
    return "changed" if before and after else "added" if after else "removed"


@dataclass(frozen=True)
class Change:
    """A fact that differs."""

    what: str
    before: str
    after: str

    def line(self) -> str:
        """For people."""
        return f"{self.what}: {self.before or 'none'} → {self.after or 'none'}"


def changes(before: Image | None, after: Image, base_before: Image | None, base_after: Image | None) -> list[Change]:
    """What differs between two golden images and the bases under them; all that is known where there was none before."""
    facts = {
        "version": _both(before, after, "Version"),
        "application": tuple(short_commit(text) if text else "" for text in _both(before, after, COMMIT)),
        "Go": _both(before, after, "Go"),
        "PostgreSQL": _both(before, after, "PostgreSQL"),
        "source AMI": _both(base_before, base_after, SOURCE_AMI),
        "packages updated": _both(base_before, base_after, "Created"),
        "size": (f"{before.size_gib} GiB" if before else "", f"{after.size_gib} GiB"),
    }
    return [Change(what, was, now) for what, (was, now) in facts.items() if was != now]


def _both(before: Image | None, after: Image | None, tag: str) -> tuple[str, str]:
    return (before.tags.get(tag, "") if before else "", after.tags.get(tag, "") if after else "")
