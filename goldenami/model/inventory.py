"""What an image is made of: its packages, services, users and so on, as the bake (or a look at it) wrote them down."""

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
    """An installed package, with the source package that it was built from where the system knows it."""

    name: str
    version: str
    architecture: str = ""
    source: str = ""
    source_version: str = ""


@dataclass(frozen=True)
class ImageInventory:
    """An image's facts. A group that is None was not written down (by an older bake, say).

    Attributes:
        packages: By name (with the architecture where two of a name are installed).
        single: What there is one of: operating system, kernel, Go, PostgreSQL, commit, size.
        groups: What there are several of: units, listening, users, setuid.
    """

    packages: Mapping[str, Package]
    values: Mapping[str, str]
    groups: Mapping[str, tuple[str, ...] | None]


def parse(machine: Mapping[str, Any], packages: Iterable[Sequence[str]]) -> ImageInventory:
    """Facts from what the image's own report says.

    Args:
        machine: inventory.json of the report.
        packages: Rows of packages.tsv: name, version, architecture, and source and source version where there are.
    """
    rows = [Package(*row[:5]) for row in packages]
    twice = {name for name, number in Counter(package.name for package in rows).items() if number > 1}
    disk = machine.get("disk", {})
    single = {
        "operating system": machine.get("os", ""),
        "kernel": machine.get("kernel", ""),
        "Go": machine.get("go", ""),
        "PostgreSQL": machine.get("postgresql", ""),
        "application": str(machine.get("commit", ""))[:12],
        "size": f"{disk['used_bytes'] / 1024**2:.0f} MiB used" if disk.get("used_bytes") else "",
    }
    units = machine.get("units", {}).get("enabled")
    listening = machine.get("listening")
    return ImageInventory(
        packages={f"{p.name}:{p.architecture}" if p.name in twice else p.name: p for p in rows},
        values=single,
        groups={
            "units": _group(units),
            "listening": _group(None if listening is None else map(_listener, listening)),
            "users": _group(machine.get("users")),
            "setuid": _group(machine.get("setuid")),
        },
    )


def pack(machine: Mapping[str, Any], packages: Iterable[Sequence[str]]) -> list[str]:
    """Facts as texts of at most PART characters, to be kept where the whole team finds them."""
    told = json.dumps({"machine": machine, "packages": [list(row) for row in packages]}, sort_keys=True)
    small = base64.b64encode(lzma.compress(told.encode(), format=lzma.FORMAT_XZ, preset=9)).decode()
    return [small[start : start + PARAMETER_PART] for start in range(0, len(small), PARAMETER_PART)]


def unpack(parts: Sequence[str]) -> ImageInventory | None:
    """Facts from those texts; None when they are not whole."""
    try:
        told = json.loads(lzma.decompress(base64.b64decode("".join(parts), validate=True)))
        return parse(told["machine"], told["packages"])
    except (ValueError, lzma.LZMAError, EOFError, KeyError, TypeError):
        return None


def parse_console(console: str, nonce: str) -> tuple[dict[str, Any], list[list[str]]] | None:
    """The report and the rows of packages that an instance said on its console; None while no whole one is there.

    It says them more than once, as something else may write into them: the first that is whole counts.
    """
    for said in console.split(f"GOLDEN-INVENTORY {nonce} BEGIN")[1:]:
        text, ended, _ = said.partition(f"GOLDEN-INVENTORY {nonce} END")
        try:
            report, *rows = (
                gzip.decompress(base64.b64decode("".join(text.split()), validate=True)).decode().splitlines()
            )
            if ended:
                return json.loads(report), [row.split("\t") for row in rows if row.count("\t") >= 2]
        except (ValueError, OSError, EOFError, zlib.error):
            continue
    return None


def _group(items: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if items is None else tuple(sorted(set(items)))


def _listener(found: Mapping[str, str]) -> str:
    # Ports that the system gives out at random differ from boot to boot.
    address, _, port = str(found.get("address", "")).rpartition(":")
    address = re.sub(r"%\w+", "", address)
    return f"{found.get('process') or '?'} on {address or '*'}:{port if int(port or 0) < 32768 else '(random)'}"
