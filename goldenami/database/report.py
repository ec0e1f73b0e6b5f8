"""Backups, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from goldenami.database.backup_model import Manifest
from goldenami.text import table


def backup(manifest: Manifest, *, as_json: bool) -> str:
    """A backup: its id, or all of its manifest."""
    return json.dumps(asdict(manifest), ensure_ascii=False) if as_json else manifest.id


def backups(found: Sequence[Manifest], *, as_json: bool) -> str:
    """All backups."""
    if as_json:
        return json.dumps([asdict(manifest) for manifest in found], ensure_ascii=False)
    if not found:
        return "no backups; ./invoke db.backup makes one"
    head = ["BACKUP", "CREATED", "INSTANCE", "ROWS", "BYTES", "POSTGRESQL", "COMMIT", "WHY"]
    rows = [
        [
            m.id,
            m.created[:16].replace("T", " "),
            m.instance,
            str(m.fingerprint.rows),
            str(m.size),
            str(m.major),
            m.commit[:12],
            m.why,
        ]
        for m in found
    ]
    return table(head, rows)
