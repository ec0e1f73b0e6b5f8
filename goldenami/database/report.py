"""Reports of database backups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from goldenami.database.backup_model import Manifest
from goldenami.text import Report, minute, table


def backup(manifest: Manifest) -> Report:
    """Return the report of one backup."""
    return Report(asdict(manifest), manifest.id)


def backups(manifests: Sequence[Manifest]) -> Report:
    """Return the list of backups."""
    head = ["BACKUP", "CREATED", "INSTANCE", "ROWS", "BYTES", "POSTGRESQL", "COMMIT", "WHY"]
    rows = [
        [m.id, minute(m.created), m.instance, str(m.fingerprint.rows), str(m.size), str(m.major), m.commit[:12], m.why]
        for m in manifests
    ]
    text = table(head, rows) if rows else "no backups; create one with ./invoke db.backup"
    return Report([asdict(manifest) for manifest in manifests], text)
