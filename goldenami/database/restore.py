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


def save(shop: Context, instance: str, folder: str, *, own: bool, why: str) -> Manifest:
    """Back the database up, while it serves.

    Raises:
        UsageError: It is not clear which instance is meant.
        GateError: It did not work; then there is no backup.
    """
    with runs.record_run(shop, "backup", why=why) as run:
        agent.ensure_backup_bucket(shop)
        with shop.progress.phase("backing up"):
            made = backup.take_backup(
                shop, _instance_with_database(shop, instance), f"{run.id}", why or "db.backup", own=own
            )
        if folder:
            backup.fetch_archive(shop, made, Path(folder))
            shop.progress.say(f"also in {folder}")
    return made


def restore(shop: Context, identity: str, folder: str, instance: str, *, replace: bool) -> Manifest:
    """Put a backup in the place of what the database holds.

    Everything that can be known beforehand is checked before anything is touched; what is there is backed up before it is
    replaced; and nobody can write from then on until every table has been compared. Killed, the same again goes on with it.

    Raises:
        UsageError: There is no such backup, or it is not clear which instance is meant.
        GateError: It is refused, or does not work; what was there serves on.
        BusyError: Somebody else is changing the fleet.
    """
    if identity and folder:
        raise UsageError("name a backup or a folder, not both", next="./invoke db.list")
    manifest = backup.download(shop, Path(folder)) if folder else backup.get_backup(shop, identity)
    with runs.record_run(shop, "restore", backup=manifest.id) as run:
        with shop.progress.phase(f"reading {manifest.id} whole"):
            backup.verify_backup(shop, manifest)
        with lock.acquire(shop, run.id, f"db.restore {manifest.id}") as claim:
            arrived = freeze.end_stale_freeze(shop)
            recovery.recover(shop)
            if arrived == manifest.id:  # nobody could write since
                shop.progress.say(f"{manifest.fingerprint.rows} row(s) of {manifest.id} are in their place")
                return manifest
            target = _instance_with_database(shop, instance)
            found = agent.inspect(shop, target)
            # A server elsewhere is asked by the instance itself, when it restores.
            major = found.major if shop.recipe.database.on_instance else manifest.major
            reasons = list(restore_blockers(manifest, shop.recipe, major))
            if found.home and found.home != shop.recipe.database.mode:
                reasons.append(
                    f'{target} keeps its data in mode "{found.home}", and the recipe says "{shop.recipe.database.mode}"'
                    f" (./invoke db.migrate --to {shop.recipe.database.mode} moves it)"
                )
            if shop.recipe.database.on_instance and found.rows and not replace:
                reasons.append(
                    f"the database of {target} holds {found.rows} row(s); --replace puts the backup in their place,"
                    " after a fresh backup of them"
                )
            if reasons:
                raise GateError("; ".join(reasons), state="Nothing was touched.", next="./invoke db.list")
            _replace(shop, claim, run.id, target, manifest, before=replace)
    return manifest


def _replace(shop: Context, claim: lock.HeldLock, run: str, target: str, manifest: Manifest, *, before: bool) -> None:
    stopped = [target]
    if not shop.recipe.database.on_instance:  # everybody who writes to the one server
        stopped += [m.id for m in describe.list_instances(shop) if m.state == "running" and m.id != target]
    began = shop.clock.monotonic()
    pause = WriteFreeze(run, f"db.restore {manifest.id}", tuple(stopped), backup=manifest.id)
    with freeze.frozen(shop, pause) as pause:
        with shop.progress.phase(f"restoring {manifest.id} on {target}"):
            for one in stopped:
                agent.run(shop, one, "fence", backup=manifest.id)
            if before:
                why = f"before the restore of {manifest.id}"
                former = backup.take_backup(shop, target, f"{run}-before", why, beat=claim.beat)
                shop.progress.say(f"what was there is in {former.id}")
            claim.confirm()  # on a server elsewhere what it holds is replaced in here
            transfer.restore(shop, target, manifest, replace=before, beat=claim.beat)
            claim.confirm()
            freeze.save(shop, dataclasses.replace(pause, arriving=True))
            agent.run(shop, target, "adopt", backup=manifest.id)
        for one in stopped:
            transfer.resume_service(shop, one)
    shop.progress.say(
        f"{manifest.fingerprint.rows} row(s) restored and compared; nobody could write for"
        f" {seconds(shop.clock.monotonic() - began)}"
    )


def _instance_with_database(shop: Context, instance: str) -> str:
    """The instance that does the work: the one with the database, or any that reaches the server."""
    if instance or shop.recipe.database.on_instance:
        return describe.resolve_instance(shop, instance).id
    running = [m.id for m in describe.list_instances(shop) if m.state == "running"]
    if not running:
        raise UsageError(f"{shop.name} has no running instance to ask", next="./invoke instances")
    return running[0]
