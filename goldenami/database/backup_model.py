"""Backups: what one is, what a database held when it was taken, and what a restored one holds differently."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from goldenami.errors import GateError
from goldenami.recipe.recipe import Recipe

MANIFEST = "manifest.json"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}(?:-[a-z]+)?")


@dataclass(frozen=True)
class Fingerprint:
    """What a database holds, whatever the order of its rows.

    Attributes:
        tables: Of each table the number of rows and a checksum over all of them.
        sequences: The last value of each, or None where none was taken.
        extensions: Their versions.
        roles: Every role that is no superuser.
    """

    tables: Mapping[str, tuple[int, str]]
    sequences: Mapping[str, int | None] = field(default_factory=dict)
    extensions: Mapping[str, str] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    large_objects: int = 0

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(count for count, _ in self.tables.values())


@dataclass(frozen=True)
class Manifest:
    """A backup: whose it is, from where, of what, and the digests of its parts. It is written last.

    Attributes:
        major: The server's major version.
        quiet: Whether writes were stopped, so that not even a sequence can have gone on.
    """

    id: str
    service: str
    database: str
    owner: str
    major: int
    created: str
    instance: str
    mode: str
    commit: str
    size: int
    sha256: Mapping[str, str]
    fingerprint: Fingerprint
    writes_stopped: bool = False
    why: str = ""


def is_backup_id(text: str) -> bool:
    """Whether this may be the id of a backup."""
    return bool(_ID.fullmatch(text))


def dump_manifest(manifest: Manifest) -> str:
    """The manifest as it is kept."""
    return json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n"


def parse_manifest(text: str, where: str) -> Manifest:
    """The manifest as it was kept.

    Raises:
        GateError: It is none.
    """
    try:
        found: dict[str, Any] = json.loads(text)
        return Manifest(**{**found, "fingerprint": parse_fingerprint(found["fingerprint"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise GateError(
            f"{where} is no manifest of a backup", state="Nothing was touched.", next="./invoke db.list"
        ) from None


def parse_fingerprint(found: Mapping[str, Any]) -> Fingerprint:
    """A fingerprint as an instance tells it."""
    return Fingerprint(
        tables={name: (int(count), str(digest)) for name, (count, digest) in found["tables"].items()},
        sequences=dict(found["sequences"]),
        extensions=dict(found["extensions"]),
        roles=tuple(found["roles"]),
        large_objects=int(found["large_objects"]),
    )


def restore_blockers(manifest: Manifest, recipe: Recipe, major: int) -> Iterator[str]:
    """Why a backup must not be put into the recipe's database, on a server of this major version."""
    database = recipe.database
    if manifest.service != recipe.image.name:
        yield f"{manifest.id} is a backup of {manifest.service}, not of {recipe.image.name}"
    elif (manifest.database, manifest.owner) != (database.name, database.user):
        yield (
            f"{manifest.id} is a backup of the database {manifest.database} of {manifest.owner};"
            f" the recipe names {database.name} of {database.user}"
        )
    if manifest.major > major:
        yield (
            f"{manifest.id} comes from PostgreSQL {manifest.major}, which a server of version {major} cannot read:"
            f" it needs an image with PostgreSQL {manifest.major} or newer"
        )


def differences(kept: Manifest, found: Fingerprint) -> list[str]:
    """What a restored database holds differently from what the backup was taken of; empty when it is all the same."""
    return list(_differences(kept, found))


def _differences(kept: Manifest, found: Fingerprint) -> Iterator[str]:
    was = kept.fingerprint
    for name in sorted({*was.tables, *found.tables}):
        before, after = was.tables.get(name), found.tables.get(name)
        if before is None or after is None:
            yield f"table {name} is {'new' if before is None else 'missing'}"
        elif before[0] != after[0]:
            yield f"table {name} had {before[0]} rows, has {after[0]}"
        elif before != after:
            yield f"table {name} has {after[0]} rows, but not the same ones"
    for name in sorted({*was.sequences, *found.sequences}):
        if name not in was.sequences or name not in found.sequences:
            yield f"sequence {name} is {'new' if name not in was.sequences else 'missing'}"
        elif not _comparable(was.sequences[name], found.sequences[name], exact=kept.writes_stopped):
            yield f"sequence {name} was at {was.sequences[name]}, is at {found.sequences[name]}"
    for name in sorted({*was.extensions} - {*found.extensions}):
        yield f"extension {name} is missing"
    if kept.mode != "rds" and found.roles:  # a server elsewhere has roles of its own
        for name in sorted({*was.roles} - {*found.roles}):
            yield f"role {name} is missing"
    if was.large_objects != found.large_objects:
        yield f"there were {was.large_objects} large objects, there are {found.large_objects}"


def _comparable(before: int | None, after: int | None, *, exact: bool) -> bool:
    """A sequence goes on outside of any snapshot: while others write it may be further, never behind."""
    return before == after if exact else (after or 0) >= (before or 0)
