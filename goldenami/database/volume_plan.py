"""The volume that holds PostgreSQL's data: found by its tag, and what has to happen until an instance has it.

EC2 attaches a volume to one instance at a time, so where it is attached is where the rows are: no record of ours can be wrong
about it. Source: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-describing-volumes.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal

from goldenami.model.image import VOLUME_TAG, Image, Platform
from goldenami.model.resources import DataVolumeState, Snapshot
from goldenami.recipe.recipe import Recipe

# `release`: its machine stops what uses it, and unmounts it; `snapshot`; `detach`; `wait` until it is free; `attach`.
Step = Literal["release", "snapshot", "detach", "wait", "attach"]


def attach_steps(volume: DataVolumeState, wanted: str, holder: str, *, snapshot: bool = False) -> tuple[Step, ...]:
    """What has to happen until an instance has the volume.

    Args:
        volume: As EC2 shows it.
        wanted: The instance.
        holder: EC2's word for the state of the instance that has it now; empty where none has, or it is gone.
        keep: Take a snapshot while nobody uses it.
    """
    if volume.instance == wanted and volume.attachment in ("attached", "attaching"):
        return ()
    if not volume.instance or holder in ("", "shutting-down", "terminated"):
        # EC2 detaches by itself what a terminated instance had.
        return ("wait", "attach")
    found: list[Step] = ["release"] if holder in ("pending", "running", "stopping") else []
    if snapshot:
        found.append("snapshot")
    if volume.attachment not in ("detaching", "busy"):  # else that was asked for before
        found.append("detach")
    return (*found, "wait", "attach")


def volume_blockers(recipe: Recipe, found: Sequence[DataVolumeState], zone: str) -> Iterator[str]:
    """Why a fleet cannot be made with the volumes that are there.

    Args:
        recipe: What is wanted.
        found: Those that have the service's tag.
        zone: Where the group launches.
    """
    wanted = recipe.database.volume
    if len(found) > 1:
        told = ", ".join(f"{one.id} ({one.zone}, {one.size} GiB, {one.state})" for one in found)
        yield (
            f"{len(found)} volumes have the tag {VOLUME_TAG} = {recipe.image.name}, and the authoritative copy is unknown:"
            f" {told}; take the tag off all but one (aws ec2 delete-tags)"
        )
        return
    for one in found:
        if one.state == "error":
            yield f"{one.id} has failed (EC2 says `error`): make one of its newest snapshot, with the same tag"
        if one.zone != zone:
            yield (
                f"{one.id} is in {one.zone}, and the group launches in {zone}: put {one.zone} first in zones (or its subnet"
                " in subnet_ids) under [fleet], or make a volume of its snapshot there"
            )
        if one.size > wanted.size_gib:
            yield f"{one.id} has {one.size} GiB and cannot shrink to {wanted.size_gib}: set size_gib = {one.size}"
        if not one.encrypted:
            yield f"{one.id} is not encrypted: make an encrypted volume of its snapshot, with the same tag"


def unsupported_reason(volume: str, written: Platform, image: Image) -> str:
    """Why instances of an image must not take the data over as it is; empty where they may, or nobody knows.

    Args:
        volume: What holds it.
        written: What has written it.
        image: What would take it.
    """
    if image.platform.is_compatible(written):
        return ""
    return (
        f"the data on {volume} was written by {written}, which {image.platform} ({image.name}) must not take over as it is:"
        " bake an image of the former, or carry the rows over: ./invoke db.migrate --to instance with an image of the other,"
        " then --to volume"
    )


def expired_snapshots(found: Sequence[Snapshot], now: datetime, keep_days: int) -> list[str]:
    """The snapshots that may go: older than the backups are kept, and never the newest one."""
    newest = sorted(found, key=lambda one: one.started, reverse=True)
    return [one.id for one in newest[1:] if now - one.started > timedelta(days=keep_days)]
