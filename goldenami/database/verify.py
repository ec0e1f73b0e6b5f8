"""`invoke db.verify --restore`: prove that a backup can be restored, on a temporary server on an instance."""

from __future__ import annotations

from goldenami.context import Context
from goldenami.database import backup, restoration
from goldenami.database.backup_model import Manifest
from goldenami.database.restore import resolve_instance
from goldenami.errors import DataError, GateError, GoldenError


def verify_by_restoring(ctx: Context, manifest: Manifest, instance: str = "") -> str:
    """Restore a backup to a temporary server on an instance, and compare it with its manifest; return the result.

    Raises:
        UsageError: There is no running instance, or there are several with a database, and none is named.
        GateError: The backup cannot be restored, or the restored database differs.
    """
    target = resolve_instance(ctx, instance)
    with ctx.progress.phase(f"restoring {manifest.id} to a temporary server on {target}"):
        try:
            restored = restoration.run_restore(ctx, target, manifest, "verify-restore")
        except GateError as error:
            raise DataError(
                f"the backup {manifest.id} cannot be restored: {error.message}",
                state="The database in service is unchanged, and the temporary server is deleted.",
                next=error.next,
            ) from None
    found = restored.differences
    if manifest.mode != "rds":
        found += restored.property_differences
    if found:
        raise DataError(
            f"the database restored from {manifest.id} differs: {'; '.join(found[:10])}",
            state="The database in service is unchanged, and the temporary server is deleted.",
            next="./invoke db.backup",
        )
    warnings = "".join(f"; a materialized view stays empty: {reason}" for reason in restored.unrefreshed)
    return f"{manifest.id} restores: {manifest.fingerprint.rows} row(s) compared table by table{warnings}"


def verify_newest(ctx: Context) -> str:
    """Restore the newest backup as `verify_by_restoring`; return the result, or why it failed."""
    if not ctx.recipe.fleet.run_command:
        return ""
    try:
        manifests = backup.list_backups(ctx)
        return verify_by_restoring(ctx, manifests[-1]) if manifests else "there is no backup"
    except GoldenError as error:
        return f"FAILED: {error.message}"
