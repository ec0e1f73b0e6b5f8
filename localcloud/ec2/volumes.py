"""Volumes and snapshots as disk files: created, copied, grown and deleted."""

from __future__ import annotations

import os
import sys
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_block_store import Volume
from moto.ec2.responses import EC2Response

from localcloud.core.cloud import ACCOUNT, Cloud, regional_backends
from localcloud.core.overrides import replace_methods
from localcloud.ec2 import machine_spec
from localcloud.ec2.idempotency import find_created, remember
from localcloud.ec2.image_model import SourceVolume
from localcloud.ec2.machine_pool import MachinePool
from localcloud.ec2.machine_spec import GIB
from localcloud.storage import disks

_delete_volume, _delete_snapshot = EC2Backend.delete_volume, EC2Backend.delete_snapshot
_create_snapshot, _copy_snapshot = EC2Backend.create_snapshot, EC2Backend.copy_snapshot
_modify_volume, _create_volume = EC2Backend.modify_volume, EC2Response.create_volume


def install(cloud: Cloud, pool: MachinePool) -> None:
    """Replace moto's methods."""

    def create_volume(self: Any) -> ActionResult:
        """moto creates a volume without a disk, available at once, in any zone, of any size, and not idempotently.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVolume.html"""
        self.error_on_dryrun()
        backend = self.ec2_backend
        if volume := find_created(self, backend.volumes.values()):
            return ActionResult(volume)
        if backend.get_zone_by_name(zone := self._get_param("AvailabilityZone")) is None:
            raise EC2ClientError("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")
        if snapshot_id := self._get_param("SnapshotId"):
            check_snapshot(backend.get_snapshot(snapshot_id), self._get_param("Size"))
        volume = _create_volume(self).result
        remember(self, volume)
        volume.phase = "creating"
        if volume.volume_type == "gp3":
            volume.throughput = volume.throughput or 125
        create_disk_file(cloud, volume)
        return ActionResult(volume)

    def status(self: Any) -> str:
        """https://docs.aws.amazon.com/ebs/latest/userguide/ebs-describing-volumes.html"""
        return getattr(self, "phase", None) or ("in-use" if self.attachment else "available")

    def delete_volume(self: Any, volume_id: str) -> Any:
        """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteVolume.html"""
        if volume_id in self.volumes and self.volumes[volume_id].status == "creating":
            raise EC2ClientError("IncorrectState", f"The volume '{volume_id}' is 'creating'")
        volume = _delete_volume(self, volume_id)
        cloud.state_dir.volume(volume_id).unlink(missing_ok=True)
        self.tags.pop(volume_id, None)
        return volume

    def delete_snapshot(self: Any, snapshot_id: str) -> Any:
        """moto rejects a snapshot that an AMI uses (InvalidSnapshot.InUse).
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSnapshot.html"""
        snapshot = _delete_snapshot(self, snapshot_id)
        cloud.state_dir.snapshot(snapshot_id).unlink(missing_ok=True)
        self.tags.pop(snapshot_id, None)
        return snapshot

    def create_snapshot(
        self: Any, volume_id: str, description: str, owner_id: str | None = None, from_ami: str | None = None
    ) -> Any:
        """moto completes a snapshot at once, without data. CreateImage does not call this (images.py).
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSnapshot.html"""
        if self.get_volume(volume_id).status not in ("available", "in-use"):
            raise EC2ClientError("IncorrectState", f"The volume '{volume_id}' is not 'available' or 'in-use'")
        snapshot = _create_snapshot(self, volume_id, description, owner_id, from_ami)
        snapshot.volume = SourceVolume(volume_id, snapshot.volume.size)  # the volume may grow or be deleted
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
            except Exception as error:  # EC2 reports errors in the status
                print(f"{snapshot.id}: {error}", file=sys.stderr, flush=True)
                status = "error"
            with cloud.change():
                snapshot.status = status
                if snapshot.id not in self.snapshots:  # deleted while it was copied
                    target.unlink(missing_ok=True)

        cloud.queues.submit(attachment.instance.id if attachment else volume_id, work)
        return snapshot

    def copy_snapshot(
        self: Any, source_snapshot_id: str, source_region: str, description: str, kms_key_id: str | None
    ) -> Any:
        """moto copies no data. Snapshots never change, so a hard link is a copy.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CopySnapshot.html"""
        snapshot = _copy_snapshot(self, source_snapshot_id, source_region, description, kms_key_id)
        source = ec2_backends[ACCOUNT][source_region].get_snapshot(source_snapshot_id)
        if (path := cloud.state_dir.snapshot(source.id)).exists():
            os.link(path, cloud.state_dir.snapshot(snapshot.id))
        return snapshot

    def modify_volume(self: Any, volume_id: str, target_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """moto allows a volume to shrink. A data volume grows at once, also for a running guest; its file system does not. A root
        volume grows only while its machine is off, with its file system.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyVolume.html"""
        volume = self.get_volume(volume_id)
        if target_size and int(target_size) < volume.size:
            raise EC2ClientError("InvalidParameterValue", "New size cannot be smaller than existing size")
        _modify_volume(self, volume_id, target_size, *args, **kwargs)
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

    replace_methods(EC2Backend, delete_volume, delete_snapshot, create_snapshot, copy_snapshot, modify_volume)
    replace_methods(EC2Response, create_volume)
    Volume.status = property(status)


def create_disk_file(cloud: Cloud, volume: Any) -> None:
    """Create the volume's disk: creating -> available."""

    def work() -> None:
        try:
            machine_spec.create_disk(cloud, volume)
            phase = None
        except Exception as error:  # EC2 reports errors in the status
            print(f"{volume.id}: {error}", file=sys.stderr, flush=True)
            phase = "error"
        with cloud.change():
            volume.phase = phase

    cloud.queues.submit(volume.id, work)
    cloud.queues.close(volume.id)


def check_snapshot(snapshot: Any, size: int | None) -> None:
    """Raise EC2's error if no volume of `size` GiB can be created from the snapshot."""
    if snapshot.status != "completed":
        raise EC2ClientError("IncorrectState", f"Snapshot {snapshot.id} is in invalid state - {snapshot.status}")
    if size is not None and int(size) < snapshot.volume_size:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The size of the volume ({size} GiB) is smaller than that of its snapshot ({snapshot.volume_size} GiB)",
        )


def resume(cloud: Cloud) -> None:
    """Complete interrupted volumes after a restart. An incomplete snapshot fails, as its volume may have changed."""
    for backend in regional_backends(ec2_backends):
        for volume in backend.volumes.values():
            if volume.status == "creating":
                create_disk_file(cloud, volume)
        for snapshot in backend.snapshots.values():
            if snapshot.status == "pending" and not snapshot.from_ami:
                snapshot.status = "completed" if cloud.state_dir.snapshot(snapshot.id).exists() else "error"


def delete_orphaned_disks(cloud: Cloud) -> list[str]:
    """Delete disk files without a volume or snapshot, which a crash can leave. Call it at start only."""
    used = set()
    for backend in regional_backends(ec2_backends):
        used |= {cloud.state_dir.volume(volume_id) for volume_id in backend.volumes}
        used |= {cloud.state_dir.snapshot(snapshot_id) for snapshot_id in backend.snapshots}
    files = [*cloud.state_dir.volumes.iterdir(), *cloud.state_dir.snapshots.iterdir()]
    orphaned = [path for path in files if path not in used]
    for path in orphaned:
        path.unlink()
    return [path.name for path in orphaned]
