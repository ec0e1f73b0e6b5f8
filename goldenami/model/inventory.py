"""Inventory of an image: its packages, services, users and so on, recorded by the bake or by an inspection."""

from __future__ import annotations

import base64
import gzip
import json
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# A standard parameter holds 4 KiB. https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
PARAMETER_PART = 4000


@dataclass(frozen=True)
class Package:
    """Installed package, with its source package where the distribution records it."""

    name: str
    version: str
    architecture: str = ""
    source: str = ""
    source_version: str = ""


@dataclass(frozen=True)
class Migration:
    """Migration in an image; `compatible` if its header says that the version before works with the migrated database."""

    name: str
    checksum: str
    compatible: bool


@dataclass(frozen=True)
class ImageInventory:
    """Inventory of an image. A group that is None was not recorded, by an older bake for example.

    Attributes:
        packages: By name, with the architecture if two of a name are installed.
        values: Single values: operating system, kernel, Go, PostgreSQL, commit, size.
        groups: Lists: units, listening, users, setuid, and the rows of each table that the schema fills.
        migrations: In the order in which they are applied; None if they were not recorded.
    """

    packages: Mapping[str, Package]
    values: Mapping[str, str]
    groups: Mapping[str, tuple[str, ...] | None]
    migrations: tuple[Migration, ...] | None = None


def parse(machine: Mapping[str, Any], packages: Iterable[Sequence[str]]) -> ImageInventory:
    """Return the inventory from the inventory.json and the rows of packages.tsv of an image's report."""
    rows = [Package(*row[:5]) for row in packages]
    duplicates = {name for name, number in Counter(package.name for package in rows).items() if number > 1}
    disk = machine.get("disk", {})
    values = {
        "operating system": machine.get("os", ""),
        "kernel": machine.get("kernel", ""),
        "Go": machine.get("go", ""),
        "PostgreSQL": machine.get("postgresql", ""),
        "application": str(machine.get("commit", ""))[:12],
        "size": f"{disk['used_bytes'] / 1024**2:.0f} MiB used" if disk.get("used_bytes") else "",
    }
    units = machine.get("units", {}).get("enabled")
    listening, seeds = machine.get("listening"), machine.get("seeds")
    return ImageInventory(
        packages={f"{p.name}:{p.architecture}" if p.name in duplicates else p.name: p for p in rows},
        values=values,
        groups={
            "units": _group(units),
            "listening": _group(None if listening is None else map(_listener, listening)),
            "users": _group(machine.get("users")),
            "setuid": _group(machine.get("setuid")),
            "seeds": _group(None if seeds is None else map(_seeded_table, seeds)),
        },
        migrations=_migrations(machine.get("migrations")),
    )


def pack(machine: Mapping[str, Any], packages: Iterable[Sequence[str]]) -> list[str]:
    """Compress an inventory into texts of at most PARAMETER_PART characters, for Parameter Store."""
    report = json.dumps({"machine": machine, "packages": [list(row) for row in packages]}, sort_keys=True)
    packed = base64.b64encode(lzma.compress(report.encode(), format=lzma.FORMAT_XZ, preset=9)).decode()
    return [packed[start : start + PARAMETER_PART] for start in range(0, len(packed), PARAMETER_PART)]


def unpack(parts: Sequence[str]) -> ImageInventory | None:
    """Return the inventory from the texts of `pack`; None if they are incomplete."""
    try:
        report = json.loads(lzma.decompress(base64.b64decode("".join(parts), validate=True)))
        return parse(report["machine"], report["packages"])
    except (ValueError, lzma.LZMAError, EOFError, KeyError, TypeError):
        return None


def parse_console(console: str, nonce: str) -> tuple[dict[str, Any], list[list[str]]] | None:
    """Return the report and the package rows that an instance printed on its console; None if no copy is complete.

    The instance prints several copies, since other output may interrupt one.
    """
    for copy in console.split(f"GOLDEN-INVENTORY {nonce} BEGIN")[1:]:
        text, ended, _ = copy.partition(f"GOLDEN-INVENTORY {nonce} END")
        try:
            packed = base64.b64decode("".join(text.split()), validate=True)
            report, *rows = gzip.decompress(packed).decode().splitlines()
            if ended:
                return json.loads(report), [row.split("\t") for row in rows if row.count("\t") >= 2]
        except (ValueError, OSError, EOFError, zlib.error):
            continue
    return None


def _group(items: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if items is None else tuple(sorted(set(items)))


def _migrations(rows: Sequence[Mapping[str, Any]] | None) -> tuple[Migration, ...] | None:
    if rows is None:
        return None
    return tuple(Migration(str(row["name"]), str(row["checksum"]), row["compatible"] is True) for row in rows)


def _seeded_table(seed: Mapping[str, Any]) -> str:
    return f"{seed.get('schema')}.{seed.get('table')}, {seed.get('rows')} row(s)"


def _listener(socket: Mapping[str, str]) -> str:
    # The system assigns ephemeral ports at random at each boot.
    address, _, port = str(socket.get("address", "")).rpartition(":")
    address = re.sub(r"%\w+", "", address)
    return f"{socket.get('process') or '?'} on {address or '*'}:{port if int(port or 0) < 32768 else '(random)'}"
