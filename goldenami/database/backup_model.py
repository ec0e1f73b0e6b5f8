"""Backups: the manifest, the fingerprint of a database, and the comparison of a restored database with its backup."""

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
    """Fingerprint of a database's contents, independent of the order of the rows.

    Attributes:
        tables: For each table the number of rows and a checksum over all of them.
        sequences: The last value of each sequence; None if it was never used.
    """

    tables: Mapping[str, tuple[int, str]]
    sequences: Mapping[str, int | None] = field(default_factory=dict)
    extensions: Mapping[str, str] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    large_objects: int = 0

    @property
    def rows(self) -> int:
        """Number of rows in all tables."""
        return sum(count for count, _ in self.tables.values())


@dataclass(frozen=True)
class Manifest:
    """Manifest of a backup, written last. If `writes_stopped`, the sequences match the rows exactly."""

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
    """Return True if a text has the form of a backup id."""
    return bool(_ID.fullmatch(text))


def dump_manifest(manifest: Manifest) -> str:
    """Return a manifest as JSON."""
    return json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n"


def parse_manifest(text: str, source: str) -> Manifest:
    """Return the manifest in a JSON text from this source; raise GateError if it is none."""
    try:
        values: dict[str, Any] = json.loads(text)
        return Manifest(**{**values, "fingerprint": parse_fingerprint(values["fingerprint"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        reason = f"{source} is not the manifest of a backup"
        raise GateError(reason, state="No changes were made.", next="./invoke db.list") from None


def parse_fingerprint(values: Mapping[str, Any]) -> Fingerprint:
    """Return the fingerprint in the output of the data script."""
    return Fingerprint(
        tables={name: (int(count), str(digest)) for name, (count, digest) in values["tables"].items()},
        sequences=dict(values["sequences"]),
        extensions=dict(values["extensions"]),
        roles=tuple(values["roles"]),
        large_objects=int(values["large_objects"]),
    )


def restore_blockers(manifest: Manifest, recipe: Recipe, major: int) -> Iterator[str]:
    """Yield the reasons why a backup cannot be restored into the recipe's database on a server of this major version."""
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
            f"{manifest.id} is from PostgreSQL {manifest.major}, which a server of version {major} cannot read:"
            f" bake an image with PostgreSQL {manifest.major} or newer"
        )


def differences(manifest: Manifest, restored: Fingerprint) -> list[str]:
    """Return the differences between a restored database and its backup; empty if they match."""
    return list(_differences(manifest, restored))


def _differences(manifest: Manifest, restored: Fingerprint) -> Iterator[str]:
    original = manifest.fingerprint
    for name in sorted({*original.tables, *restored.tables}):
        before, after = original.tables.get(name), restored.tables.get(name)
        if before is None or after is None:
            yield f"table {name} is {'new' if before is None else 'missing'}"
        elif before[0] != after[0]:
            yield f"table {name} had {before[0]} rows, has {after[0]}"
        elif before != after:
            yield f"table {name} has {after[0]} rows, but not the same ones"
    for name in sorted({*original.sequences, *restored.sequences}):
        if name not in original.sequences or name not in restored.sequences:
            yield f"sequence {name} is {'new' if name not in original.sequences else 'missing'}"
        elif not _sequence_matches(original.sequences[name], restored.sequences[name], exact=manifest.writes_stopped):
            yield f"sequence {name} was at {original.sequences[name]}, is at {restored.sequences[name]}"
    for name in sorted({*original.extensions} - {*restored.extensions}):
        yield f"extension {name} is missing"
    if manifest.mode != "rds" and restored.roles:  # a DB instance has its own roles
        for name in sorted({*original.roles} - {*restored.roles}):
            yield f"role {name} is missing"
    if original.large_objects != restored.large_objects:
        yield f"there were {original.large_objects} large objects, there are {restored.large_objects}"


def _sequence_matches(before: int | None, after: int | None, *, exact: bool) -> bool:
    """Sequences are not part of a snapshot: with concurrent writes the restored value may be ahead, never behind."""
    return before == after if exact else (after or 0) >= (before or 0)
