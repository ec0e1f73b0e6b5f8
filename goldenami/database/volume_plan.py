"""Decisions about the data volume: the steps that attach it to an instance, and what prevents its use.

EC2 attaches a volume to one instance at a time, so its attachment says which instance is the primary.
Source: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-describing-volumes.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal

from goldenami.model.image import VOLUME_TAG, Image, Platform
from goldenami.model.resources import DataVolumeState, Snapshot
from goldenami.recipe.recipe import Recipe

# `wait`: until the volume is available.
Step = Literal["unmount", "snapshot", "detach", "wait", "attach"]


def attach_steps(
    volume: DataVolumeState, instance: str, holder_state: str, *, snapshot: bool = False
) -> tuple[Step, ...]:
    """Return the steps that attach a volume to an instance.

    Args:
        holder_state: EC2's state of the instance that has the volume now; empty if there is none.
    """
    if volume.instance == instance and volume.attachment in ("attached", "attaching"):
        return ()
    if not volume.instance or holder_state in ("", "shutting-down", "terminated"):
        return ("wait", "attach")  # EC2 detaches the volumes of a terminated instance
    steps: list[Step] = ["unmount"] if holder_state in ("pending", "running", "stopping") else []
    if snapshot:
        steps.append("snapshot")
    if volume.attachment not in ("detaching", "busy"):  # otherwise the detachment was requested before
        steps.append("detach")
    return (*steps, "wait", "attach")


def volume_blockers(recipe: Recipe, volumes: Sequence[DataVolumeState], zone: str) -> Iterator[str]:
    """Yield the reasons why a fleet cannot use its data volume."""
    size = recipe.database.volume.size_gib
    if len(volumes) > 1:
        listed = ", ".join(f"{volume.id} ({volume.zone}, {volume.size} GiB, {volume.state})" for volume in volumes)
        yield (
            f"{len(volumes)} volumes have the tag {VOLUME_TAG} = {recipe.image.name}, and the authoritative copy is unknown:"
            f" {listed}; remove the tag from all but one (aws ec2 delete-tags)"
        )
        return
    for volume in volumes:
        if volume.state == "error":
            yield f"{volume.id} has failed (EC2 state `error`): create a volume from its newest snapshot, with the same tag"
        if volume.zone != zone:
            yield (
                f"{volume.id} is in {volume.zone}, and the group launches in {zone}: put {volume.zone} first in zones (or its"
                " subnet in subnet_ids) under [fleet], or create a volume from its snapshot there"
            )
        if volume.size > size:
            yield f"{volume.id} has {volume.size} GiB and cannot shrink to {size}: set size_gib = {volume.size}"
        if not volume.encrypted:
            yield f"{volume.id} is not encrypted: create an encrypted volume from its snapshot, with the same tag"


def unsupported_reason(volume: str, written: Platform, image: Image) -> str:
    """Return why instances of an image cannot use the data on a volume; empty if they can, or it is unknown."""
    if image.platform.is_compatible(written):
        return ""
    return (
        f"the data on {volume} was written by {written}, which {image.platform} ({image.name}) cannot use: bake an image for"
        f" {written}, or transfer the data: ./invoke db.migrate --to instance with an image for {image.platform}, then"
        " --to volume"
    )


def expired_snapshots(snapshots: Sequence[Snapshot], now: datetime, keep_days: int) -> list[str]:
    """Return the ids of the snapshots to delete: older than `keep_days`, but never the newest one."""
    newest_first = sorted(snapshots, key=lambda snapshot: snapshot.started, reverse=True)
    return [s.id for s in newest_first[1:] if now - s.started > timedelta(days=keep_days)]
