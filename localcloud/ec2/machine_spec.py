"""What an instance's machine is made of: its disks, made where they are not there yet, and its specification."""

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
    """The disks that RunInstances promised: a copy of each volume's snapshot, or an empty one."""
    with cloud.lock:
        root = root_volume(instance)
        volumes = [root, *data_volumes(instance)]
    for volume in volumes:
        create_disk(cloud, volume, is_root=volume is root)


def create_disk(cloud: Cloud, volume: Any, *, is_root: bool = False) -> None:
    """A volume's disk, whole or not at all. Only a root disk's file system grows with it: a data volume may hold any."""
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
    """The machine's specification as of now; gives the instance its address. The caller holds the lock."""
    kind = INSTANCE_TYPES[instance.instance_type]
    instance.machine_address = instance.public_ip or machine_address(instance) or cloud.addresses.allocate()
    return MachineSpec(
        instance_id=instance.id,
        disk=cloud.state_dir.volume(root_volume(instance).id),
        address=instance.machine_address,
        folder=cloud.state_dir.machine(instance.id),
        hostname=instance.private_dns_name.partition(".")[0],
        vcpus=kind["VCpuInfo"]["DefaultVCpus"],
        memory_mib=kind["MemoryInfo"]["SizeInMiB"],
        environment={"AWS_ENDPOINT_URL": GUEST_ENDPOINT},
        ports=open_ports.desired_ports(instance),
        volumes=tuple(data_volume(cloud, volume) for volume in data_volumes(instance)),
    )


def data_volume(cloud: Cloud, volume: Any) -> DataVolume:
    return DataVolume(volume.id, cloud.state_dir.volume(volume.id))


def root_volume(instance: Any) -> Any:
    device = instance.block_device_mapping.get(instance.root_device_name)
    if device is None:
        raise CloudError(f"instance {instance.id} has no volume attached at its root ({instance.root_device_name})")
    return instance.ec2_backend.get_volume(device.volume_id)


def data_volumes(instance: Any) -> list[Any]:
    """The volumes beside the root that belong to the machine: not those that are being detached."""
    volumes = [
        instance.ec2_backend.get_volume(device.volume_id)
        for name, device in instance.block_device_mapping.items()
        if name != instance.root_device_name
    ]
    return [one for one in volumes if one.attachment and one.attachment.status in ("attaching", "attached")]
