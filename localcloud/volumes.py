"""Volumes and snapshots are files: made, copied and freed with what the API says of them."""

from __future__ import annotations

import os
from typing import Any

from moto.ec2.models import EC2Backend, ec2_backends

from localcloud import disks
from localcloud.cloud import ACCOUNT, Cloud
from localcloud.fleet import GIB, Fleet

_delete_volume, _delete_snapshot = EC2Backend.delete_volume, EC2Backend.delete_snapshot
_create_snapshot, _copy_snapshot = EC2Backend.create_snapshot, EC2Backend.copy_snapshot
_modify_volume = EC2Backend.modify_volume


def install(cloud: Cloud, fleet: Fleet) -> None:
    """Replace moto's methods by these. May be called again with another cloud."""

    def delete_volume(self: Any, volume_id: str) -> Any:
        volume = _delete_volume(self, volume_id)
        cloud.folder.volume(volume_id).unlink(missing_ok=True)
        self.tags.pop(volume_id, None)
        return volume

    def delete_snapshot(self: Any, snapshot_id: str) -> Any:
        """moto refuses what an AMI uses (InvalidSnapshot.InUse)."""
        snapshot = _delete_snapshot(self, snapshot_id)
        cloud.folder.snapshot(snapshot_id).unlink(missing_ok=True)
        self.tags.pop(snapshot_id, None)
        return snapshot

    def create_snapshot(
        self: Any, volume_id: str, description: str, owner_id: str | None = None, from_ami: str | None = None
    ) -> Any:
        """moto: completed at once, without data. CreateImage makes its snapshots itself (images.py)."""
        snapshot = _create_snapshot(self, volume_id, description, owner_id, from_ami)
        source, target = cloud.folder.volume(volume_id), cloud.folder.snapshot(snapshot.id)
        if from_ami or not source.exists():
            return snapshot
        snapshot.status = "pending"
        attachment = self.get_volume(volume_id).attachment

        def work() -> None:
            try:
                if attachment:
                    fleet.copy_root(attachment.instance, volume_id, target, reboot=False)
                else:
                    disks.copy(source, target)
                status = "completed"
            except Exception:  # the status is where EC2 tells it
                status = "error"
            with cloud.change():
                snapshot.status = status

        cloud.lines.do(attachment.instance.id if attachment else volume_id, work)
        return snapshot

    def copy_snapshot(
        self: Any, source_snapshot_id: str, source_region: str, description: str, kms_key_id: str | None
    ) -> Any:
        """moto: without data. Snapshots never change, so a link is a copy."""
        snapshot = _copy_snapshot(self, source_snapshot_id, source_region, description, kms_key_id)
        source = ec2_backends[ACCOUNT][source_region].get_snapshot(source_snapshot_id)
        if (path := cloud.folder.snapshot(source.id)).exists():
            os.link(path, cloud.folder.snapshot(snapshot.id))
        return snapshot

    def modify_volume(self: Any, volume_id: str, target_size: int | None = None, *rest: Any, **named: Any) -> Any:
        """A volume that no machine runs on really grows; a running one does at its next start."""
        volume = _modify_volume(self, volume_id, target_size, *rest, **named)
        path = cloud.folder.volume(volume_id)
        running = volume.attachment and volume.attachment.instance.state != "stopped"
        if target_size and path.exists() and not running:
            disks.grow(path, int(target_size) * GIB)
        return volume

    EC2Backend.delete_volume, EC2Backend.delete_snapshot = delete_volume, delete_snapshot
    EC2Backend.create_snapshot, EC2Backend.copy_snapshot = create_snapshot, copy_snapshot
    EC2Backend.modify_volume = modify_volume


def sweep(cloud: Cloud) -> list[str]:
    """Delete disk files that nothing in the API names: a crash between two steps can leave them. At start only."""
    known = set()
    for _, _, backend in ec2_backends.iter_backends():
        known |= {cloud.folder.volume(volume_id) for volume_id in backend.volumes}
        known |= {cloud.folder.snapshot(snapshot_id) for snapshot_id in backend.snapshots}
    dead = [
        path
        for folder in (cloud.folder.volumes, cloud.folder.snapshots)
        for path in folder.iterdir()
        if path not in known
    ]
    for path in dead:
        path.unlink()
    return [path.name for path in dead]
