"""The public base image of every region: Debian 12, owned by the id of Debian's AWS account."""

from __future__ import annotations

import hashlib
import os
import platform
from typing import Any

from moto.core.parse import default_timestamp_parser
from moto.ec2.models.elastic_block_store import Snapshot

from localcloud.core.cloud import Cloud
from localcloud.ec2.image_model import DiskImage, SourceVolume
from localcloud.ec2.machine_spec import GIB
from localcloud.storage import disks

DEBIAN_ACCOUNT = "136693071363"  # https://wiki.debian.org/Cloud/AmazonEC2Image


def base_ami_id(cloud: Cloud, region: str) -> str:
    """Return the public image's id, which depends on the image's content and the region only."""
    return "ami-" + hashlib.sha256(f"{region} {cloud.base.digest}".encode()).hexdigest()[:17]


def publish_base_ami(cloud: Cloud, backend: Any) -> None:
    """Publish the base image in a region, unless it is there, in place of a former one."""
    ami_id = base_ami_id(cloud, backend.region_name)
    snapshot_id = "snap-" + ami_id.removeprefix("ami-")
    path = cloud.state_dir.snapshot(snapshot_id)
    if not path.exists():
        try:
            os.link(cloud.base.path, path)
        except OSError:  # the cache is on another file system
            disks.copy(cloud.base.path, path)
    if ami_id in backend.amis:
        return
    for former in [image for image in backend.amis.values() if image.owner_id == DEBIAN_ACCOUNT]:
        backend.deregister_image(former.id)  # a base image with other content; volumes created from it are copies
        for former_snapshot in former.snapshot_ids():
            backend.delete_snapshot(former_snapshot)
    size = -(-path.stat().st_size // GIB)
    volume = SourceVolume("vol-ffffffff", size)
    snapshot = Snapshot(backend, snapshot_id, volume, cloud.base.name, owner_id=DEBIAN_ACCOUNT)
    backend.snapshots[snapshot_id] = snapshot
    ebs = {"SnapshotId": snapshot_id, "VolumeSize": size, "DeleteOnTermination": True, "VolumeType": "gp3"}
    arm = platform.machine() in ("aarch64", "arm64")
    backend.amis[ami_id] = image = DiskImage(
        backend, ami_id, [{"DeviceName": "/dev/xvda", "Ebs": ebs | {"Encrypted": False}}], name=cloud.base.name,
        description="Debian 12 for the local cloud", owner_id=DEBIAN_ACCOUNT, public=True,
        virtualization_type="hvm", architecture="arm64" if arm else "x86_64", hypervisor="xen",
        root_device_name="/dev/xvda", region_name=backend.region_name + "a", boot_mode="uefi",
        creation_date=default_timestamp_parser(cloud.base.created),
    )  # fmt: skip
    snapshot.from_ami = image.id
