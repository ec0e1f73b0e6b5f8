"""`invoke db.backup|restore`: back up the database while it serves; replace it with a backup that is verified first."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from goldenami.context import Context
from goldenami.database import agent, backup, freeze, recovery, restoration, transfer
from goldenami.database.backup_model import Manifest, restore_blockers
from goldenami.database.guard_plan import row_count
from goldenami.database.survey_model import external_restore_blockers, parse_survey
from goldenami.database.switchover_model import WriteFreeze
from goldenami.errors import GateError, UsageError
from goldenami.infra import describe
from goldenami.state import lock, runs
from goldenami.text import seconds


def back_up(ctx: Context, instance: str, folder: str, *, own: bool, why: str) -> Manifest:
    """Back up the database while it serves; with a folder, also download the backup there."""
    with runs.record_run(ctx, "backup", why=why) as run:
        agent.ensure_backup_bucket(ctx)
        with ctx.progress.phase("backing up"):
            source = resolve_instance(ctx, instance)
            manifest = backup.take_backup(ctx, source, run.id, why or "db.backup", own=own)
        if folder:
            backup.download_archive(ctx, manifest, Path(folder))
            ctx.progress.info(f"downloaded to {folder}")
    return manifest


def restore(ctx: Context, backup_id: str, folder: str, instance: str, *, replace: bool) -> Manifest:
    """Replace the database with a backup.

    All checks run before any change. The current data is backed up before it is replaced. Writes are stopped until every
    table was compared. If interrupted, the same command continues.

    Raises:
        UsageError: There is no such backup, or there are several instances, and none is named.
        GateError: The restore is refused or failed; the current data stays in service.
        BusyError: Another process holds the lock.
    """
    if backup_id and folder:
        raise UsageError("name a backup or a folder, not both", next="./invoke db.list")
    manifest = backup.upload_archive(ctx, Path(folder)) if folder else backup.get_backup(ctx, backup_id)
    with runs.record_run(ctx, "restore", backup=manifest.id) as run:
        with ctx.progress.phase(f"verifying {manifest.id}"):
            backup.verify_backup(ctx, manifest)
        with lock.acquire(ctx, run.id, f"db.restore {manifest.id}") as held_lock:
            restored = freeze.end_stale_freeze(ctx)
            recovery.recover(ctx)
            if restored == manifest.id:  # the interrupted restore is complete, and writes were stopped until now
                ctx.progress.info(f"{manifest.fingerprint.rows} row(s) of {manifest.id} restored")
                return manifest
            target = resolve_instance(ctx, instance)
            if reasons := _blockers(ctx, manifest, target, replace=replace):
                raise GateError("; ".join(reasons), state="No changes were made.", next="./invoke db.list")
            _replace(ctx, held_lock, run.id, target, manifest, back_up_first=replace)
    return manifest


def _blockers(ctx: Context, manifest: Manifest, target: str, *, replace: bool) -> list[str]:
    data, database = agent.inspect(ctx, target), ctx.recipe.database
    # The version of an external database is checked by the data script when it restores.
    reasons = list(restore_blockers(manifest, ctx.recipe, data.major if database.on_instance else manifest.major))
    if data.storage_mode and data.storage_mode != database.mode:
        reasons.append(
            f'{target} uses the storage mode "{data.storage_mode}", and the recipe "{database.mode}"'
            f" (./invoke db.migrate --to {database.mode} transfers the data)"
        )
    if database.on_instance:
        contents = data.contents if data.has_data else ""
    else:  # fails here, before writes are stopped, if the role cannot read every row
        survey, backed_up = parse_survey(agent.run(ctx, target, "survey")), manifest.fingerprint
        contents = row_count(survey.rows, exact=survey.exact) if survey.rows and not survey.stale else ""
        reasons += external_restore_blockers(
            survey, "the server", database.user, backed_up.row_security_forced, backed_up.relations
        )
    if contents and not replace:
        reasons.append(
            f"the database of {target} has {contents}; --replace backs them up and replaces them with the backup"
        )
    return reasons


def _replace(
    ctx: Context, held_lock: lock.HeldLock, run: str, target: str, manifest: Manifest, *, back_up_first: bool
) -> None:
    instances = [target]
    if not ctx.recipe.database.on_instance:  # all instances write to the external database
        instances += [m.id for m in describe.list_instances(ctx) if m.state == "running" and m.id != target]
    began = ctx.clock.monotonic()
    state = WriteFreeze(run, f"db.restore {manifest.id}", tuple(instances), backup=manifest.id)
    with freeze.frozen(ctx, state) as state:
        with ctx.progress.phase(f"restoring {manifest.id} on {target}"):
            for instance in instances:
                agent.run(ctx, instance, "stop-writes", backup=manifest.id)
            if back_up_first:
                why = f"before the restore of {manifest.id}"
                previous = backup.take_backup(ctx, target, f"{run}-before", why, heartbeat=held_lock.heartbeat)
                ctx.progress.info(f"backed up the current data: {previous.id}")
            held_lock.verify_held()  # an external database is restored in place
            restoration.restore(ctx, target, manifest, replace=back_up_first, heartbeat=held_lock.heartbeat)
            held_lock.verify_held()
            freeze.save(ctx, dataclasses.replace(state, swapping_in=True))
            agent.run(ctx, target, "swap-in", backup=manifest.id)
        for instance in instances:
            transfer.resume_service(ctx, instance)
    ctx.progress.info(
        f"{manifest.fingerprint.rows} row(s) restored and compared; unavailable"
        f" {seconds(ctx.clock.monotonic() - began)}"
    )


def resolve_instance(ctx: Context, instance: str) -> str:
    """Return the instance that runs the data script: the one with the database, or any that reaches the external one."""
    if instance or ctx.recipe.database.on_instance:
        return describe.resolve_instance(ctx, instance).id
    running = [m.id for m in describe.list_instances(ctx) if m.state == "running"]
    if not running:
        raise UsageError(f"{ctx.name} has no running instance", next="./invoke instances")
    return running[0]
