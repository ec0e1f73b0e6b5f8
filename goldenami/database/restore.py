"""`invoke db.backup|restore`: save what the database holds while it serves; put a backup in its place, and prove it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from goldenami.context import Context
from goldenami.database import agent, backup, freeze, recovery, transfer
from goldenami.database.backup_model import Manifest, restore_blockers
from goldenami.database.switchover_model import WriteFreeze
from goldenami.errors import GateError, UsageError
from goldenami.infra import describe
from goldenami.state import lock, runs
from goldenami.text import seconds


def back_up(ctx: Context, instance: str, folder: str, *, own: bool, why: str) -> Manifest:
    """Back the database up, while it serves.

    Raises:
        UsageError: It is not clear which instance is meant.
        GateError: It did not work; then there is no backup.
    """
    with runs.record_run(ctx, "backup", why=why) as run:
        agent.ensure_backup_bucket(ctx)
        with ctx.progress.phase("backing up"):
            made = backup.take_backup(
                ctx, _instance_with_database(ctx, instance), f"{run.id}", why or "db.backup", own=own
            )
        if folder:
            backup.download_archive(ctx, made, Path(folder))
            ctx.progress.info(f"also in {folder}")
    return made


def restore(ctx: Context, backup_id: str, folder: str, instance: str, *, replace: bool) -> Manifest:
    """Put a backup in the place of what the database holds.

    Everything that can be known beforehand is checked before anything is touched; what is there is backed up before it is
    replaced; and nobody can write from then on until every table has been compared. Killed, the same again goes on with it.

    Raises:
        UsageError: There is no such backup, or it is not clear which instance is meant.
        GateError: It is refused, or does not work; what was there serves on.
        BusyError: Somebody else is changing the fleet.
    """
    if backup_id and folder:
        raise UsageError("name a backup or a folder, not both", next="./invoke db.list")
    manifest = backup.upload_archive(ctx, Path(folder)) if folder else backup.get_backup(ctx, backup_id)
    with runs.record_run(ctx, "restore", backup=manifest.id) as run:
        with ctx.progress.phase(f"reading {manifest.id} whole"):
            backup.verify_backup(ctx, manifest)
        with lock.acquire(ctx, run.id, f"db.restore {manifest.id}") as held_lock:
            arrived = freeze.end_stale_freeze(ctx)
            recovery.recover(ctx)
            if arrived == manifest.id:  # nobody could write since
                ctx.progress.info(f"{manifest.fingerprint.rows} row(s) of {manifest.id} are in their place")
                return manifest
            target = _instance_with_database(ctx, instance)
            found = agent.inspect(ctx, target)
            # A server elsewhere is asked by the instance itself, when it restores.
            major = found.major if ctx.recipe.database.on_instance else manifest.major
            reasons = list(restore_blockers(manifest, ctx.recipe, major))
            if found.storage_mode and found.storage_mode != ctx.recipe.database.mode:
                reasons.append(
                    f'{target} keeps its data in mode "{found.storage_mode}", and the recipe says "{ctx.recipe.database.mode}"'
                    f" (./invoke db.migrate --to {ctx.recipe.database.mode} moves it)"
                )
            if ctx.recipe.database.on_instance and found.rows and not replace:
                reasons.append(
                    f"the database of {target} holds {found.rows} row(s); --replace puts the backup in their place,"
                    " after a fresh backup of them"
                )
            if reasons:
                raise GateError("; ".join(reasons), state="Nothing was touched.", next="./invoke db.list")
            _replace(ctx, held_lock, run.id, target, manifest, before=replace)
    return manifest


def _replace(
    ctx: Context, held_lock: lock.HeldLock, run: str, target: str, manifest: Manifest, *, before: bool
) -> None:
    stopped = [target]
    if not ctx.recipe.database.on_instance:  # everybody who writes to the one server
        stopped += [m.id for m in describe.list_instances(ctx) if m.state == "running" and m.id != target]
    began = ctx.clock.monotonic()
    pause = WriteFreeze(run, f"db.restore {manifest.id}", tuple(stopped), backup=manifest.id)
    with freeze.frozen(ctx, pause) as pause:
        with ctx.progress.phase(f"restoring {manifest.id} on {target}"):
            for one in stopped:
                agent.run(ctx, one, "stop-writes", backup=manifest.id)
            if before:
                why = f"before the restore of {manifest.id}"
                former = backup.take_backup(ctx, target, f"{run}-before", why, heartbeat=held_lock.heartbeat)
                ctx.progress.info(f"what was there is in {former.id}")
            held_lock.verify_held()  # on a server elsewhere what it holds is replaced in here
            transfer.restore(ctx, target, manifest, replace=before, heartbeat=held_lock.heartbeat)
            held_lock.verify_held()
            freeze.save(ctx, dataclasses.replace(pause, restoring_to=True))
            agent.run(ctx, target, "swap-in", backup=manifest.id)
        for one in stopped:
            transfer.resume_service(ctx, one)
    ctx.progress.info(
        f"{manifest.fingerprint.rows} row(s) restored and compared; nobody could write for"
        f" {seconds(ctx.clock.monotonic() - began)}"
    )


def _instance_with_database(ctx: Context, instance: str) -> str:
    """The instance that does the work: the one with the database, or any that reaches the server."""
    if instance or ctx.recipe.database.on_instance:
        return describe.resolve_instance(ctx, instance).id
    running = [m.id for m in describe.list_instances(ctx) if m.state == "running"]
    if not running:
        raise UsageError(f"{ctx.name} has no running instance to ask", next="./invoke instances")
    return running[0]
