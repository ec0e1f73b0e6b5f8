"""Differences between two images: packages, units, ports, users, setuid files, vulnerabilities, tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from goldenami.model.image import COMMIT, SOURCE_AMI, Image, short_commit
from goldenami.model.inventory import ImageInventory

DifferenceKind = Literal["added", "removed", "changed"]
_GROUPS = {"units": "unit", "listening": "port", "users": "user", "setuid": "setuid file", "seeds": "seeded table"}


@dataclass(frozen=True)
class Difference:
    """A difference in the contents of two images: its kind (`package`, `unit`, …), name, and values, if it has any."""

    kind: str
    what: DifferenceKind
    name: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Vulnerability:
    """An advisory that affects only one of two images."""

    id: str
    what: Literal["fixed", "new"]
    packages: tuple[str, ...]
    summary: str = ""


@dataclass(frozen=True)
class ImageDiff:
    """Differences between the contents of two images; `missing` is what could not be compared, and why."""

    differences: tuple[Difference, ...]
    vulnerabilities: tuple[Vulnerability, ...] = ()
    remaining: int = 0
    missing: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return the differences as plain data."""
        return asdict(self)


def compare(before: ImageInventory, after: ImageInventory) -> ImageDiff:
    """Return the differences between two inventories."""
    differences = [
        Difference("image", _kind(before.values.get(name, ""), now), name, before.values.get(name, ""), now)
        for name, now in after.values.items()
        if now != before.values.get(name, "")
    ]
    differences += _named(
        "migration",
        {m.name: m.checksum[:12] for m in before.migrations or ()},
        {m.name: m.checksum[:12] for m in after.migrations or ()},
    )
    differences += _named(
        "package", {n: p.version for n, p in before.packages.items()}, {n: p.version for n, p in after.packages.items()}
    )
    missing = []
    for group, kind in _GROUPS.items():
        first, second = before.groups.get(group), after.groups.get(group)
        if first is None or second is None:
            missing.append(f"the inventory of the {'first' if first is None else 'second'} image has no {kind}s")
            continue
        differences += [Difference(kind, "removed", name) for name in first if name not in second]
        differences += [Difference(kind, "added", name) for name in second if name not in first]
    return ImageDiff(tuple(differences), missing=tuple(missing))


def match_vulnerabilities(
    before: Mapping[str, tuple[str, ...]], after: Mapping[str, tuple[str, ...]], summaries: Mapping[str, str]
) -> tuple[tuple[Vulnerability, ...], int]:
    """Return the advisories that affect only the first image (fixed) or the second (new), and how many affect both."""
    fixed = [Vulnerability(i, "fixed", before[i], summaries.get(i, "")) for i in before if i not in after]
    new = [Vulnerability(i, "new", after[i], summaries.get(i, "")) for i in after if i not in before]
    return (*new, *fixed), len(before.keys() & after.keys())


def _named(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, ""), after.get(name, "")
        if was != now:
            yield Difference(kind, _kind(was, now), name, was, now)


def _kind(before: str, after: str) -> DifferenceKind:
    return "changed" if before and after else "added" if after else "removed"


@dataclass(frozen=True)
class Change:
    """A difference between the tags of two images."""

    what: str
    before: str
    after: str

    def line(self) -> str:
        """Return the change in one line."""
        return f"{self.what}: {self.before or 'none'} → {self.after or 'none'}"


def changes(before: Image | None, after: Image, base_before: Image | None, base_after: Image | None) -> list[Change]:
    """Return the differences between the tags of two golden images and their base layers; `before` may be missing."""
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
