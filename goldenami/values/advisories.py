"""Known vulnerabilities, in the OSV format, and which of an image's packages they are about.

Source: https://ossf.github.io/osv-schema/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

from goldenami.values.facts import Package

# Compares two versions as the distribution does: below, at or above zero.
Compare = Callable[[str, str], int]

# How OSV calls the families; an ecosystem may say more after it (`Ubuntu:24.04:LTS`).
ECOSYSTEMS = {"debian-12": "Debian:12", "ubuntu-24.04": "Ubuntu:24.04", "amazon-linux-2023": "Amazon Linux:2023"}


@dataclass(frozen=True)
class Advisory:
    """What an advisory says of one package.

    Attributes:
        package: The source package, as distributions' advisories name it.
        ranges: Lists of events, each a word (`introduced`, `fixed`, `last_affected`) and a version.
        versions: Versions that are affected one by one.
    """

    id: str
    package: str
    summary: str = ""
    aliases: tuple[str, ...] = ()
    ranges: tuple[tuple[tuple[str, str], ...], ...] = ()
    versions: tuple[str, ...] = ()

    def affects(self, version: str, compare: Compare) -> bool:
        """Whether it is about this version."""
        return version in self.versions or any(_within(events, version, compare) for events in self.ranges)


def read(told: Mapping[str, Any], family: str) -> Iterator[Advisory]:
    """What an advisory's JSON says of packages of this family; nothing where it was withdrawn."""
    if told.get("withdrawn"):
        return
    wanted = ECOSYSTEMS[family]
    for affected in told.get("affected", []):
        package = affected.get("package", {})
        ecosystem = str(package.get("ecosystem", ""))
        if ecosystem != wanted and not ecosystem.startswith(f"{wanted}:"):
            continue
        yield Advisory(
            id=str(told.get("id", "")),
            package=str(package.get("name", "")),
            summary=str(told.get("summary") or told.get("details", "")).strip().partition("\n")[0][:200],
            aliases=tuple(told.get("aliases", [])) or tuple(told.get("upstream", [])),
            ranges=tuple(
                tuple((word, str(version)) for event in one.get("events", []) for word, version in event.items())
                for one in affected.get("ranges", [])
                if one.get("type") == "ECOSYSTEM"
            ),
            versions=tuple(affected.get("versions", [])),
        )


def vulnerable(packages: Iterable[Package], known: Sequence[Advisory], compare: Compare) -> dict[str, tuple[str, ...]]:
    """The advisories that are about an image's packages: by id, with the packages."""
    by_package: dict[str, list[Advisory]] = {}
    for advisory in known:
        by_package.setdefault(advisory.package, []).append(advisory)
    found: dict[str, dict[str, None]] = {}
    for package in packages:
        named = {package.source or package.name: package.source_version or package.version}
        named.setdefault(package.name, package.version)
        for name, version in named.items():
            for advisory in by_package.get(name, []):
                if advisory.affects(version, compare):
                    found.setdefault(advisory.id, {})[f"{package.name} {package.version}"] = None
    return {identity: tuple(names) for identity, names in sorted(found.items())}


def _within(events: Sequence[tuple[str, str]], version: str, compare: Compare) -> bool:
    def order(a: tuple[str, str], b: tuple[str, str]) -> int:
        return _start(a[1], b[1]) or compare(a[1], b[1])

    def _start(a: str, b: str) -> int:
        # "0" is before every version, whatever the distribution's own order says.
        return (b == "0") - (a == "0")

    affected = False
    for word, at in sorted(events, key=cmp_to_key(order)):
        if word == "introduced" and (at == "0" or compare(version, at) >= 0):
            affected = True
        elif (word == "fixed" and compare(version, at) >= 0) or (word == "last_affected" and compare(version, at) > 0):
            affected = False
    return affected
