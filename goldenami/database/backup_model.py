"""Backups: the manifest, the fingerprint of a database, and the comparison of a restored database with its backup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from goldenami.errors import GateError
from goldenami.recipe.recipe import Recipe
from goldenami.text import printable

MANIFEST = "manifest.json"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}(?:-[a-z]+)?")


@dataclass(frozen=True)
class SequenceState:
    """State of a sequence. Older backups have neither increment nor cycle, nor the last value of an unused one."""

    last_value: int | None
    is_called: bool
    increment: int = 0
    cycle: bool = False

    def __str__(self) -> str:
        return f"{self.last_value}" if self.is_called else f"{self.last_value or 'its start'}, unused"

    def position(self, increment: int) -> tuple[int, bool]:
        """Return what grows with each value of a sequence with this increment."""
        return (self.last_value or 0) * (-1 if increment < 0 else 1), self.is_called


@dataclass(frozen=True)
class Fingerprint:
    """Fingerprint of a database's contents, independent of the order of the rows.

    Attributes:
        tables: For each table the number of rows and a checksum over all of them.
        large_objects_checksum: Checksum over their contents; empty in older backups.
        relations: Number of tables, indexes, sequences and views, with those of TOAST; 0 in older backups.
        policies: Row-level security of each table that has any; None in older backups.
        database: Owner, privileges, comment, settings and connection limit of the database; None in older backups.
    """

    tables: Mapping[str, tuple[int, str]]
    sequences: Mapping[str, SequenceState] = field(default_factory=dict)
    extensions: Mapping[str, str] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    large_objects: int = 0
    large_objects_checksum: str = ""
    relations: int = 0
    policies: Mapping[str, str] | None = None
    database: Mapping[str, Any] | None = None

    @property
    def rows(self) -> int:
        """Number of rows in all tables."""
        return sum(count for count, _ in self.tables.values())

    @property
    def row_security_forced(self) -> tuple[str, ...]:
        """Tables whose row-level security applies to their owner too."""
        policies = self.policies or {}
        return tuple(sorted(name for name in policies if policies[name].startswith("enabled, forced")))


@dataclass(frozen=True)
class Manifest:
    """Manifest of a backup, written last. If `writes_stopped`, the sequences match the rows exactly.

    Attributes:
        moved_sequences: State of the sequences after the dump, where it differs from the fingerprint's.
        bytes: Size of the database; 0 in older backups.
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
    moved_sequences: Mapping[str, SequenceState] = field(default_factory=dict)
    bytes: int = 0


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
        moved = parse_sequences(values.get("moved_sequences", {}))
        fingerprint = parse_fingerprint(values["fingerprint"])
        return Manifest(**{**values, "fingerprint": fingerprint, "moved_sequences": moved})
    except (ValueError, TypeError, KeyError, AttributeError):
        reason = f"{source} is not the manifest of a backup"
        raise GateError(reason, state="No changes were made.", next="./invoke db.list") from None


def parse_fingerprint(values: Mapping[str, Any]) -> Fingerprint:
    """Return the fingerprint in the output of the data script."""
    return Fingerprint(
        tables={name: (int(count), str(digest)) for name, (count, digest) in values["tables"].items()},
        sequences=parse_sequences(values["sequences"]),
        extensions=dict(values["extensions"]),
        roles=tuple(values["roles"]),
        large_objects=int(values["large_objects"]),
        large_objects_checksum=str(values.get("large_objects_checksum", "")),
        relations=int(values.get("relations", 0)),
        policies=values.get("policies"),
        database=values.get("database"),
    )


def parse_sequences(values: Mapping[str, Any]) -> dict[str, SequenceState]:
    """Return the states of sequences; in older backups only the last value, null if the sequence was never used."""
    return {name: _parse_sequence(value) for name, value in values.items()}


def _parse_sequence(value: Any) -> SequenceState:
    if not isinstance(value, Mapping):
        return SequenceState(value, value is not None)
    last_value = value["last_value"]
    return SequenceState(
        None if last_value is None else int(last_value),
        bool(value["is_called"]),
        int(value["increment"]),
        bool(value["cycle"]),
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
    return [printable(text) for text in _differences(manifest, restored)]


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
        elif not _sequence_matches(manifest, name, restored.sequences[name]):
            yield f"sequence {name} was at {original.sequences[name]}, is at {restored.sequences[name]}"
    for name in sorted({*original.extensions} - {*restored.extensions}):
        yield f"extension {name} is missing"
    if manifest.mode != "rds" and restored.roles:  # a DB instance has its own roles
        for name in sorted({*original.roles} - {*restored.roles}):
            yield f"role {name} is missing"
    if original.large_objects != restored.large_objects:
        yield f"there were {original.large_objects} large objects, there are {restored.large_objects}"
    elif original.large_objects_checksum not in ("", restored.large_objects_checksum):
        yield f"there are {restored.large_objects} large objects, but not the same ones"
    policies, restored_policies = original.policies, restored.policies or {}
    if policies is not None:
        for name in sorted({*policies, *restored_policies}):
            if policies.get(name) != restored_policies.get(name):
                yield (
                    f"row-level security of {name} was {policies.get(name, 'none')},"
                    f" is {restored_policies.get(name, 'none')}"
                )


def property_differences(manifest: Manifest, restored: Fingerprint) -> list[str]:
    """Return the differences between the properties of a restored database and of the original one."""
    before, after = manifest.fingerprint.database or {}, restored.database or {}
    return [
        printable(f"the {name.replace('_', ' ')} of the database was {before[name]}, is {after.get(name)}")
        for name in sorted(before)
        if before[name] != after.get(name)
    ]


def _sequence_matches(manifest: Manifest, name: str, restored: SequenceState) -> bool:
    """Sequences are not part of a snapshot: with concurrent writes the dump has a value from before or during the backup."""
    before = manifest.fingerprint.sequences[name]
    if not before.increment:  # of an older backup
        if manifest.writes_stopped:
            return (before.last_value if before.is_called else None) == (
                restored.last_value if restored.is_called else None
            )
        increment = restored.increment
        return not before.is_called or restored.cycle or restored.position(increment) >= before.position(increment)
    if manifest.writes_stopped:
        return restored == before
    increment = before.increment
    after = manifest.moved_sequences.get(name, before)
    first, last = before.position(increment), after.position(increment)
    # A sequence that started again at its minimum, or that setval() set back, may have had any value in between.
    return before.cycle or last < first or first <= restored.position(increment) <= last
