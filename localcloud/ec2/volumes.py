"""Volumes and snapshots are files: made, copied, grown and freed with what the API says of them."""

from __future__ import annotations

import os
import sys
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_block_store import Volume
from moto.ec2.responses import EC2Response

from localcloud.core.cloud import ACCOUNT, Cloud
from localcloud.ec2 import machine_spec
from localcloud.ec2.image_model import SourceVolume
from localcloud.ec2.launch_template_api import digest_of, repeated
from localcloud.ec2.machine_pool import MachinePool
from localcloud.ec2.machine_spec import GIB
from localcloud.storage import disks

_delete_volume, _delete_snapshot = EC2Backend.delete_volume, EC2Backend.delete_snapshot
_create_snapshot, _copy_snapshot = EC2Backend.create_snapshot, EC2Backend.copy_snapshot
_modify_volume, _create_volume = EC2Backend.modify_volume, EC2Response.create_volume


def install(cloud: Cloud, pool: MachinePool) -> None:
    """Replace moto's methods by these. May be called again with another cloud."""

    def create_volume(self: Any) -> ActionResult:
        """moto: available at once, without a disk, in any zone, of any size; each repetition is another volume."""
        self.error_on_dryrun()
        backend, token, asked = self.ec2_backend, self._get_param("ClientToken"), digest_of(self.params)
        for known in backend.volumes.values():
            if token and getattr(known, "client_token", None) == token:
                repeated(known, asked)
                return ActionResult(known)
        if backend.get_zone_by_name(zone := self._get_param("AvailabilityZone")) is None:
            raise EC2ClientError("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")
        if snapshot_id := self._get_param("SnapshotId"):
            check_snapshot(backend.get_snapshot(snapshot_id), self._get_param("Size"))
        volume = _create_volume(self).result
        volume.client_token, volume.asked, volume.phase = token, asked, "creating"
        if volume.volume_type == "gp3":
            volume.throughput = volume.throughput or 125
        create_disk_file(cloud, volume)
        return ActionResult(volume)

    def status(self: Any) -> str:
        return getattr(self, "phase", None) or ("in-use" if self.attachment else "available")

    def delete_volume(self: Any, volume_id: str) -> Any:
        if volume_id in self.volumes and self.volumes[volume_id].status == "creating":
            raise EC2ClientError("IncorrectState", f"The volume '{volume_id}' is 'creating'")
        volume = _delete_volume(self, volume_id)
        cloud.state_dir.volume(volume_id).unlink(missing_ok=True)
        self.tags.pop(volume_id, None)
        return volume

    def delete_snapshot(self: Any, snapshot_id: str) -> Any:
        """moto refuses what an AMI uses (InvalidSnapshot.InUse)."""
        snapshot = _delete_snapshot(self, snapshot_id)
        cloud.state_dir.snapshot(snapshot_id).unlink(missing_ok=True)
        self.tags.pop(snapshot_id, None)
        return snapshot

    def create_snapshot(
        self: Any, volume_id: str, description: str, owner_id: str | None = None, from_ami: str | None = None
    ) -> Any:
        """moto: completed at once, without data. CreateImage makes its snapshots itself (images.py)."""
        if self.get_volume(volume_id).status not in ("available", "in-use"):
            raise EC2ClientError("IncorrectState", f"The volume '{volume_id}' is not 'available' or 'in-use'")
        snapshot = _create_snapshot(self, volume_id, description, owner_id, from_ami)
        snapshot.volume = SourceVolume(volume_id, snapshot.volume.size)  # the volume may grow, or go
        source, target = cloud.state_dir.volume(volume_id), cloud.state_dir.snapshot(snapshot.id)
        if from_ami or not source.exists():
            return snapshot
        snapshot.status = "pending"
        attachment = self.get_volume(volume_id).attachment

        def work() -> None:
            try:
                if attachment:
                    pool.copy_disks(attachment.instance, {volume_id: target}, reboot=False)
                else:
                    disks.copy(source, target)
                status = "completed"
            except Exception as error:  # the status is where EC2 tells it
                print(f"{snapshot.id}: {error}", file=sys.stderr, flush=True)
                status = "error"
            with cloud.change():
                snapshot.status = status
                if snapshot.id not in self.snapshots:  # deleted while it was being made
                    target.unlink(missing_ok=True)

        cloud.queues.submit(attachment.instance.id if attachment else volume_id, work)
        return snapshot

    def copy_snapshot(
        self: Any, source_snapshot_id: str, source_region: str, description: str, kms_key_id: str | None
    ) -> Any:
        """moto: without data. Snapshots never change, so a link is a copy."""
        snapshot = _copy_snapshot(self, source_snapshot_id, source_region, description, kms_key_id)
        source = ec2_backends[ACCOUNT][source_region].get_snapshot(source_snapshot_id)
        if (path := cloud.state_dir.snapshot(source.id)).exists():
            os.link(path, cloud.state_dir.snapshot(snapshot.id))
        return snapshot

    def modify_volume(self: Any, volume_id: str, target_size: int | None = None, *rest: Any, **named: Any) -> Any:
        """A data volume grows at once, as the guest sees it too; a root volume when its machine is off.

        moto: shrinks them. The file system in a data volume is its owner's to grow, as on EC2.
        """
        volume = self.get_volume(volume_id)
        if target_size and int(target_size) < volume.size:
            raise EC2ClientError("InvalidParameterValue", "New size cannot be smaller than existing size")
        _modify_volume(self, volume_id, target_size, *rest, **named)
        path, attachment = cloud.state_dir.volume(volume_id), volume.attachment
        if not target_size or not path.exists():
            return volume
        size = int(target_size) * GIB
        if attachment and attachment.device == attachment.instance.root_device_name:
            if attachment.instance.state == "stopped":
                disks.grow(path, size)
            return volume
        os.truncate(path, size)
        if attachment and (machine := pool.machine(attachment.instance)):
            cloud.queues.submit(attachment.instance.id, machine.resize_volume, volume_id, size)
        return volume

    EC2Backend.delete_volume, EC2Backend.delete_snapshot = delete_volume, delete_snapshot
    EC2Backend.create_snapshot, EC2Backend.copy_snapshot = create_snapshot, copy_snapshot
    EC2Backend.modify_volume = modify_volume
    EC2Response.create_volume = create_volume
    Volume.status = property(status)


def create_disk_file(cloud: Cloud, volume: Any) -> None:
    """creating -> available, once its disk is there."""

    def work() -> None:
        try:
            machine_spec.create_disk(cloud, volume)
            phase = None
        except Exception as error:  # the status is where EC2 tells it
            print(f"{volume.id}: {error}", file=sys.stderr, flush=True)
            phase = "error"
        with cloud.change():
            volume.phase = phase

    cloud.queues.submit(volume.id, work)
    cloud.queues.close(volume.id)


def check_snapshot(snapshot: Any, size: int | None) -> None:
    """What EC2 says of a snapshot that no such volume can be made of."""
    if snapshot.status != "completed":
        raise EC2ClientError("IncorrectState", f"Snapshot {snapshot.id} is in invalid state - {snapshot.status}")
    if size is not None and int(size) < snapshot.volume_size:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The size of the volume ({size} GiB) is smaller than that of its snapshot ({snapshot.volume_size} GiB)",
        )


def resume(cloud: Cloud) -> None:
    """After a start: make the volumes that were being made. A snapshot that was not finished has lost its moment."""
    for _, _, backend in ec2_backends.iter_backends():
        for volume in backend.volumes.values():
            if volume.status == "creating":
                create_disk_file(cloud, volume)
        for snapshot in backend.snapshots.values():
            if snapshot.status == "pending" and not snapshot.from_ami:
                snapshot.status = "completed" if cloud.state_dir.snapshot(snapshot.id).exists() else "error"


def delete_orphaned_disks(cloud: Cloud) -> list[str]:
    """Delete disk files that nothing in the API names: a crash between two steps can leave them. At start only."""
    known = set()
    for _, _, backend in ec2_backends.iter_backends():
        known |= {cloud.state_dir.volume(volume_id) for volume_id in backend.volumes}
        known |= {cloud.state_dir.snapshot(snapshot_id) for snapshot_id in backend.snapshots}
    dead = [
        path
        for folder in (cloud.state_dir.volumes, cloud.state_dir.snapshots)
        for path in folder.iterdir()
        if path not in known
    ]
    for path in dead:
        path.unlink()
    return [path.name for path in dead]
