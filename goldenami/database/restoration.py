"""Restore a backup next to a database, and compare it with its manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from goldenami.aws import s3
from goldenami.context import Context
from goldenami.database import agent
from goldenami.database.backup_model import Manifest, differences, parse_fingerprint, property_differences
from goldenami.errors import GateError
from goldenami.model.names import prefix
from goldenami.text import printable


@dataclass(frozen=True)
class RestoreResult:
    """Result of a restore.

    Attributes:
        differences: Differences from the backup, without those of the database's properties.
        unrefreshed: Materialized views that could not be refreshed, each with PostgreSQL's message.
    """

    differences: tuple[str, ...]
    property_differences: tuple[str, ...] = ()
    unrefreshed: tuple[str, ...] = ()


def restore_and_swap_in(
    ctx: Context, instance: str, manifest: Manifest, *, replace: bool, heartbeat: Callable[[], object] = lambda: None
) -> None:
    """Restore a backup next to the database of an instance, compare it (see `restore`), and replace the database with it."""
    restore(ctx, instance, manifest, replace=replace, heartbeat=heartbeat)
    agent.run(ctx, instance, "swap-in", backup=manifest.id, replace=replace)


def restore(
    ctx: Context, instance: str, manifest: Manifest, *, replace: bool, heartbeat: Callable[[], object] = lambda: None
) -> None:
    """Restore a backup next to the database of an instance, and compare it with its manifest.

    Materialized views that cannot be refreshed are reported; the data that they are made from is complete.

    Raises:
        GateError: The restore failed, or the restored database differs; the instance's database is unchanged.
    """
    restored = run_restore(ctx, instance, manifest, "restore", replace=replace, heartbeat=heartbeat)
    for reason in restored.unrefreshed:
        ctx.progress.info(f"WARNING: a materialized view is empty: {reason}")
    found = list(restored.differences)
    if ctx.recipe.database.on_instance and manifest.mode != "rds":
        found += restored.property_differences
    elif manifest.mode != "rds":  # a migration to a DB instance
        for difference in restored.property_differences:
            ctx.progress.info(f"WARNING: not transferred: {difference}")
    if found:
        raise GateError(
            f"the database restored on {instance} differs from {manifest.id}: {'; '.join(found[:10])}",
            state="The database of the instance is unchanged.",
            next="./invoke db.verify",
        )


def run_restore(
    ctx: Context,
    instance: str,
    manifest: Manifest,
    action: str,
    *,
    replace: bool = False,
    heartbeat: Callable[[], object] = lambda: None,
) -> RestoreResult:
    """Run an action of the data script that restores a backup, and compare its fingerprint with the manifest."""
    name = f"restored-{instance}.json"
    output = agent.run(ctx, instance, action, backup=manifest.id, result=name, replace=replace, heartbeat=heartbeat)
    text = s3.get(ctx.aws, agent.backup_bucket(ctx), f"{prefix(ctx.name, manifest.id)}/{name}")
    if not text:
        return RestoreResult(("it has no fingerprint",))
    fingerprint = parse_fingerprint(json.loads(text))
    return RestoreResult(
        tuple(differences(manifest, fingerprint)),
        tuple(property_differences(manifest, fingerprint)),
        tuple(printable(str(reason)) for reason in output.get("unrefreshed", ())),
    )
