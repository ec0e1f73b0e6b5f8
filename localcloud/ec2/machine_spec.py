"""The disks and the specification of an instance's machine."""

from __future__ import annotations

import os
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from localcloud.core.cloud import Cloud, machine_address
from localcloud.ec2 import open_ports
from localcloud.errors import CloudError
from localcloud.machines.interface import DataVolume, MachineSpec
from localcloud.storage import disks

GIB = 1024**3
GUEST_ENDPOINT = "http://169.254.169.250"


def create_disks(cloud: Cloud, instance: Any) -> None:
    """Create the instance's disks: a copy of each volume's snapshot, or an empty disk."""
    with cloud.lock:
        root = root_volume(instance)
        volumes = [root, *data_volumes(instance)]
    for volume in volumes:
        create_disk(cloud, volume, is_root=volume is root)


def create_disk(cloud: Cloud, volume: Any, *, is_root: bool = False) -> None:
    """Create a volume's disk atomically, unless it exists. Only a root disk's file system grows with its volume."""
    path, size = cloud.state_dir.volume(volume.id), int(volume.size) * GIB
    if path.exists():
        return
    part = path.with_suffix(".part")
    if volume.snapshot_id:
        disks.copy(cloud.state_dir.snapshot(volume.snapshot_id), part)
        part.chmod(0o600)  # base images are read-only files
    else:
        part.touch(0o600)
    if is_root:
        disks.grow(part, size)
    elif part.stat().st_size < size:
        os.truncate(part, size)
    part.replace(path)


def build_spec(cloud: Cloud, instance: Any) -> MachineSpec:
    """Return the machine's current specification, and set the instance's address. The caller holds the lock."""
    kind = INSTANCE_TYPES[instance.instance_type]
    instance.machine_address = instance.public_ip or machine_address(instance) or cloud.addresses.allocate()
    return MachineSpec(
        instance_id=instance.id, disk=cloud.state_dir.volume(root_volume(instance).id),
        address=instance.machine_address, folder=cloud.state_dir.machine(instance.id),
        hostname=instance.private_dns_name.partition(".")[0], vcpus=kind["VCpuInfo"]["DefaultVCpus"],
        memory_mib=kind["MemoryInfo"]["SizeInMiB"], environment={"AWS_ENDPOINT_URL": GUEST_ENDPOINT},
        ports=open_ports.desired_ports(instance),
        volumes=tuple(data_volume(cloud, volume) for volume in data_volumes(instance)),
    )  # fmt: skip


def data_volume(cloud: Cloud, volume: Any) -> DataVolume:
    """Return an EBS volume in the form that machines take."""
    return DataVolume(volume.id, cloud.state_dir.volume(volume.id))


def root_volume(instance: Any) -> Any:
    """Return the root volume. Raises CloudError if it was detached."""
    device = instance.block_device_mapping.get(instance.root_device_name)
    if device is None:
        raise CloudError(f"instance {instance.id} has no volume attached at its root ({instance.root_device_name})")
    return instance.ec2_backend.get_volume(device.volume_id)


def data_volumes(instance: Any) -> list[Any]:
    """Return the volumes except the root volume and those that are being detached."""
    volumes = [
        instance.ec2_backend.get_volume(device.volume_id)
        for name, device in instance.block_device_mapping.items()
        if name != instance.root_device_name
    ]
    return [volume for volume in volumes if volume.attachment and volume.attachment.status in ("attaching", "attached")]
