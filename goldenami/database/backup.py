"""`invoke db.backup|list|verify`: rows, roles and what proves them, in the bucket; a backup without its manifest is none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from goldenami.aws import s3
from goldenami.context import Context
from goldenami.database import agent, backup_model
from goldenami.database.backup_model import MANIFEST, Manifest, parse_fingerprint
from goldenami.errors import GateError, GoldenError, UsageError
from goldenami.model.names import prefix
from goldenami.text import seconds

PARTS = ("dump", "roles.sql", "metadata.json")  # as the instance writes them


def take_backup(
    ctx: Context,
    instance: str,
    identity: str,
    why: str,
    *,
    own: bool = False,
    heartbeat: Callable[[], object] = lambda: None,
) -> Manifest:
    """Back up what an instance's database holds, from one snapshot.

    The instance writes the parts through its role; the manifest comes last and only when all of them are there, whole.

    Args:
        shop: Where.
        instance: Which one.
        identity: The backup's id.
        why: Kept in its manifest.
        own: Its own database, although the recipe says that data lives elsewhere.
        beat: Called while the instance works.

    Raises:
        GateError: It did not work; there is no backup of this id then.
    """
    bucket, place = agent.backup_bucket(ctx), prefix(ctx.name, identity)
    began = ctx.clock.monotonic()
    try:
        agent.run(ctx, instance, "backup", backup=identity, storage_mode="instance" if own else "", heartbeat=heartbeat)
    except GoldenError:
        # One that was killed there has not done so itself.
        s3.abort_unfinished(ctx.aws, bucket, f"{place}/dump")
        raise
    seen = json.loads(s3.get(ctx.aws, bucket, f"{place}/metadata.json") or "{}")
    size = s3.size(ctx.aws, bucket, f"{place}/dump")
    if not seen or size != seen["size"]:
        raise GateError(
            f"the backup {identity} is not whole: {size or 0} bytes of {seen.get('size', 'unknown')}",
            state="It has no manifest, so nothing takes it for a backup.",
            next="./invoke db.backup",
        )
    manifest = Manifest(
        id=identity,
        service=seen["service"],
        database=seen["database"],
        owner=seen["owner"],
        major=seen["major"],
        created=ctx.clock.now().isoformat(timespec="seconds"),
        instance=instance,
        mode=seen["mode"],
        commit=seen["commit"],
        size=seen["size"],
        sha256=seen["sha256"],
        fingerprint=parse_fingerprint(seen["fingerprint"]),
        writes_stopped=seen["writes_stopped"],
        why=why,
    )
    s3.put(ctx.aws, bucket, f"{place}/{MANIFEST}", backup_model.dump_manifest(manifest))
    spent = seconds(ctx.clock.monotonic() - began)
    ctx.progress.info(
        f"backup {identity}: {manifest.fingerprint.rows} row(s) of {instance}, {manifest.size} bytes, {spent}"
    )
    return manifest


def list_backups(ctx: Context) -> list[Manifest]:
    """All backups, the oldest first."""
    bucket = agent.backup_bucket(ctx)
    found = []
    for identity in s3.folders(ctx.aws, bucket, prefix(ctx.name, "")):
        text = s3.get(ctx.aws, bucket, f"{prefix(ctx.name, identity)}/{MANIFEST}")
        if text is not None:
            found.append(backup_model.parse_manifest(text, identity))
    return found


def get_backup(ctx: Context, identity: str) -> Manifest:
    """A backup by its id; the newest when that is empty.

    Raises:
        UsageError: There is none.
        GateError: Its manifest is damaged.
    """
    if not identity:
        there = list_backups(ctx)
        if not there:
            raise UsageError(f"there is no backup in {agent.backup_bucket(ctx)}", next="./invoke db.backup")
        return there[-1]
    found = find_backup(ctx, identity) if backup_model.is_backup_id(identity) else None
    if found is None:
        raise UsageError(f"there is no backup {identity} in {agent.backup_bucket(ctx)}", next="./invoke db.list")
    return found


def find_backup(ctx: Context, identity: str) -> Manifest | None:
    """A backup by its id; None where there is none, or only a part of one."""
    text = s3.get(ctx.aws, agent.backup_bucket(ctx), f"{prefix(ctx.name, identity)}/{MANIFEST}")
    return backup_model.parse_manifest(text, identity) if text is not None else None


def verify_backup(ctx: Context, manifest: Manifest) -> None:
    """Read a backup whole and hold it against its manifest.

    Raises:
        GateError: It is damaged.
    """
    bucket, place = agent.backup_bucket(ctx), prefix(ctx.name, manifest.id)
    for part, name in (("dump", "dump"), ("roles", "roles.sql")):
        size = s3.size(ctx.aws, bucket, f"{place}/{name}")
        if size is None:
            raise _damaged(manifest, f"{name} is missing")
        if part == "dump" and size != manifest.size:
            raise _damaged(manifest, f"{name} has {size} bytes of {manifest.size}")
        if s3.digest(ctx.aws, bucket, f"{place}/{name}") != manifest.sha256[part]:
            raise _damaged(manifest, f"{name} is not what was written")


def download_archive(ctx: Context, manifest: Manifest, folder: Path) -> None:
    """Write a backup to a folder, its manifest last: for another place, or pg_restore by hand.

    Raises:
        GateError: It is damaged; there is no manifest in the folder then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = prefix(ctx.name, manifest.id)
    for part in PARTS:
        wanted = manifest.sha256.get(part.removesuffix(".sql"))
        if wanted is not None and _digest(folder / part) == wanted:
            continue  # an earlier try has brought it
        s3.download(ctx.aws, agent.backup_bucket(ctx), f"{place}/{part}", folder / part)
        if wanted is not None and _digest(folder / part) != wanted:
            raise _damaged(manifest, f"{part} is not what was written")
    s3.download(ctx.aws, agent.backup_bucket(ctx), f"{place}/{MANIFEST}", folder / MANIFEST)


def upload_archive(ctx: Context, folder: Path) -> Manifest:
    """Put a backup of a folder into the bucket, where instances find it; its manifest last.

    Raises:
        UsageError: The folder holds none.
        GateError: It is damaged.
    """
    if not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} holds no {MANIFEST}, so no backup", next="./invoke db.list")
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    manifest = backup_model.parse_manifest(text, str(folder / MANIFEST))
    if manifest.service != ctx.name or not backup_model.is_backup_id(manifest.id):
        raise GateError(
            f"{folder} holds a backup of {manifest.service}, not of {ctx.name}",
            state="Nothing was touched.",
            next="./invoke db.list",
        )
    bucket, place = agent.ensure_backup_bucket(ctx), prefix(ctx.name, manifest.id)
    for part in PARTS:
        if not (folder / part).is_file():
            raise _damaged(manifest, f"{part} is missing")
        s3.upload(ctx.aws, bucket, f"{place}/{part}", folder / part)
    verify_backup(ctx, manifest)
    s3.put(ctx.aws, bucket, f"{place}/{MANIFEST}", text)
    return manifest


def _digest(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits; empty when there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(manifest: Manifest, why: str) -> GateError:
    return GateError(
        f"the backup {manifest.id} is damaged: {why}",
        state="Nothing was touched.",
        next="./invoke db.list, and take another one; the bucket may have an earlier version of the object",
    )
