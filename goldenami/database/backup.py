"""`invoke db.backup|list|verify`: dump, roles and fingerprint of the database in the backup bucket, the manifest last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from goldenami.aws import s3
from goldenami.context import Context
from goldenami.database import agent, backup_model
from goldenami.database.backup_model import MANIFEST, Manifest, parse_fingerprint, parse_sequences
from goldenami.errors import GateError, GoldenError, UsageError
from goldenami.model.names import prefix
from goldenami.text import seconds

PARTS = ("dump", "roles.sql", "metadata.json")  # as the instance writes them


def take_backup(
    ctx: Context,
    instance: str,
    backup_id: str,
    why: str,
    *,
    own: bool = False,
    heartbeat: Callable[[], object] = lambda: None,
) -> Manifest:
    """Back up the database of an instance from one snapshot.

    The instance uploads the parts with its own role. The manifest is written only if all parts are complete.

    Args:
        own: True to back up the instance's own database although the recipe's storage mode is another one.

    Raises:
        GateError: The backup failed or is incomplete; it has no manifest then.
    """
    bucket, folder = agent.backup_bucket(ctx), prefix(ctx.name, backup_id)
    began = ctx.clock.monotonic()
    storage_mode = "instance" if own else ""
    try:
        agent.run(ctx, instance, "backup", backup=backup_id, storage_mode=storage_mode, heartbeat=heartbeat)
    except GoldenError:
        # A script that was killed has not aborted its multipart upload.
        s3.abort_unfinished(ctx.aws, bucket, f"{folder}/dump")
        raise
    metadata = json.loads(s3.get(ctx.aws, bucket, f"{folder}/metadata.json") or "{}")
    size = s3.size(ctx.aws, bucket, f"{folder}/dump")
    if not metadata or size != metadata["size"]:
        raise GateError(
            f"the backup {backup_id} is incomplete: {size or 0} bytes of {metadata.get('size', 'unknown')}",
            state="It has no manifest, so it does not count as a backup.",
            next="./invoke db.backup",
        )
    copied = ("service", "database", "owner", "major", "mode", "commit", "size", "sha256", "bytes", "writes_stopped")
    manifest = Manifest(
        id=backup_id,
        created=ctx.clock.now().isoformat(timespec="seconds"),
        instance=instance,
        fingerprint=parse_fingerprint(metadata["fingerprint"]),
        moved_sequences=parse_sequences(metadata.get("moved_sequences", {})),
        why=why,
        **{name: metadata[name] for name in copied if name in metadata},
    )
    s3.put(ctx.aws, bucket, f"{folder}/{MANIFEST}", backup_model.dump_manifest(manifest))
    duration = seconds(ctx.clock.monotonic() - began)
    ctx.progress.info(
        f"backup {backup_id}: {manifest.fingerprint.rows} row(s) of {instance}, {manifest.size} bytes, {duration}"
    )
    return manifest


def list_backups(ctx: Context) -> list[Manifest]:
    """Return all complete backups, oldest first."""
    backup_ids = s3.list_folders(ctx.aws, agent.backup_bucket(ctx), prefix(ctx.name, ""))
    return [manifest for backup_id in backup_ids if (manifest := find_backup(ctx, backup_id))]


def get_backup(ctx: Context, backup_id: str) -> Manifest:
    """Return a backup by its id; the newest one if the id is empty."""
    if not backup_id:
        backups = list_backups(ctx)
        if not backups:
            raise UsageError(f"there is no backup in {agent.backup_bucket(ctx)}", next="./invoke db.backup")
        return backups[-1]
    manifest = find_backup(ctx, backup_id) if backup_model.is_backup_id(backup_id) else None
    if manifest is None:
        raise UsageError(f"there is no backup {backup_id} in {agent.backup_bucket(ctx)}", next="./invoke db.list")
    return manifest


def find_backup(ctx: Context, backup_id: str) -> Manifest | None:
    """Return a backup by its id; None if there is none, or an incomplete one."""
    text = s3.get(ctx.aws, agent.backup_bucket(ctx), f"{prefix(ctx.name, backup_id)}/{MANIFEST}")
    return backup_model.parse_manifest(text, backup_id) if text is not None else None


def verify_backup(ctx: Context, manifest: Manifest) -> None:
    """Read the parts of a backup and verify them against its manifest."""
    bucket, folder = agent.backup_bucket(ctx), prefix(ctx.name, manifest.id)
    for part, name in (("dump", "dump"), ("roles", "roles.sql")):
        size = s3.size(ctx.aws, bucket, f"{folder}/{name}")
        if size is None:
            raise _damaged(manifest, f"{name} is missing")
        if part == "dump" and size != manifest.size:
            raise _damaged(manifest, f"{name} has {size} bytes of {manifest.size}")
        if s3.digest(ctx.aws, bucket, f"{folder}/{name}") != manifest.sha256[part]:
            raise _damaged(manifest, f"the checksum of {name} differs")


def download_archive(ctx: Context, manifest: Manifest, folder: Path) -> None:
    """Download a backup to a folder, its manifest last.

    Raises:
        GateError: The backup is damaged; the folder has no manifest then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bucket, source = agent.backup_bucket(ctx), prefix(ctx.name, manifest.id)
    for part in PARTS:
        digest = manifest.sha256.get(part.removesuffix(".sql"))
        if digest is not None and _digest(folder / part) == digest:
            continue  # downloaded by an earlier attempt
        s3.download(ctx.aws, bucket, f"{source}/{part}", folder / part)
        if digest is not None and _digest(folder / part) != digest:
            raise _damaged(manifest, f"the checksum of {part} differs")
    s3.download(ctx.aws, bucket, f"{source}/{MANIFEST}", folder / MANIFEST)


def upload_archive(ctx: Context, folder: Path) -> Manifest:
    """Upload a backup from a folder to the bucket, its manifest last.

    Raises:
        UsageError: The folder has no manifest.
        GateError: The backup is damaged, or of another service.
    """
    if not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} has no {MANIFEST}, so it is not a backup", next="./invoke db.list")
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    manifest = backup_model.parse_manifest(text, str(folder / MANIFEST))
    if manifest.service != ctx.name or not backup_model.is_backup_id(manifest.id):
        raise GateError(
            f"{folder} has a backup of {manifest.service}, not of {ctx.name}",
            state="No changes were made.",
            next="./invoke db.list",
        )
    bucket, destination = agent.ensure_backup_bucket(ctx), prefix(ctx.name, manifest.id)
    for part in PARTS:
        if not (folder / part).is_file():
            raise _damaged(manifest, f"{part} is missing")
        s3.upload(ctx.aws, bucket, f"{destination}/{part}", folder / part)
    verify_backup(ctx, manifest)
    s3.put(ctx.aws, bucket, f"{destination}/{MANIFEST}", text)
    return manifest


def _digest(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(manifest: Manifest, cause: str) -> GateError:
    return GateError(
        f"the backup {manifest.id} is damaged: {cause}",
        state="No changes were made.",
        next="./invoke db.list, and use another backup; the bucket may have an earlier version of the object",
    )
