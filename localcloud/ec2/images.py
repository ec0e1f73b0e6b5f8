"""CreateImage, CopyImage and DeregisterImage, with the images' disks."""

from __future__ import annotations

import copy
import os
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_block_store import Snapshot
from moto.ec2.responses import EC2Response
from moto.ec2.utils import random_ami_id, random_snapshot_id

from localcloud.core.cloud import ACCOUNT, Cloud, list_images
from localcloud.core.overrides import replace_methods
from localcloud.core.queues import run_later
from localcloud.ec2.base_ami import publish_base_ami
from localcloud.ec2.image_model import (
    DiskImage,
    SourceVolume,
    block_device_mapping,
    check_image_name,
    get_available_image,
    override_mapping,
    tags_by_resource_type,
)
from localcloud.ec2.machine_pool import MachinePool

_deregister = EC2Backend.deregister_image


def install(cloud: Cloud, pool: MachinePool) -> None:
    """Replace moto's methods."""

    def _load_amis(self: Any) -> None:
        """moto loads 1,301 images without disks."""
        publish_base_ami(cloud, self)

    def create_image(self: Any) -> ActionResult:
        """moto creates an image without a disk, at once, with any name and one 15 GiB snapshot without tags.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html"""
        self.error_on_dryrun()
        backend, name = self.ec2_backend, self._get_param("Name") or ""
        instance = backend.get_instance(self._get_param("InstanceId"))
        if instance.state not in ("running", "stopping", "stopped"):
            problem = f"Instance '{instance.id}' is not in a state from which an image can be made."
            raise EC2ClientError("IncorrectState", problem)
        check_image_name(backend, name)
        ami_id = random_ami_id()
        tags = tags_by_resource_type(self._get_param("TagSpecifications", []))
        mappings = []
        overrides = self._get_param("BlockDeviceMappings", [])
        excluded = {mapping.get("DeviceName") for mapping in overrides if mapping.get("NoDevice") is not None}
        for device, attached in list(instance.block_device_mapping.items()):
            if device in excluded:
                continue
            volume = backend.get_volume(attached.volume_id)
            snapshot = create_image_snapshot(
                backend, volume, f"Created by CreateImage({instance.id}) for {ami_id}", ami_id, tags,
                encrypted=volume.encrypted, kms_key_id=volume.kms_key_id,
            )  # fmt: skip
            snapshot.status = "pending"
            mappings.append(block_device_mapping(device, snapshot, volume, attached.delete_on_termination))
        for mapping in overrides:
            mappings = override_mapping(mappings, mapping)
        image = DiskImage(
            backend, ami_id, mappings, instance=instance, name=name, description=self._get_param("Description", ""),
            state="pending", hypervisor="xen", root_device_name=instance.root_device_name,
            region_name=backend.region_name + "a",
        )  # fmt: skip
        source = backend.amis.get(instance.image_id)
        image.boot_mode = source.boot_mode if source else image.boot_mode
        image.imds_support = getattr(source, "imds_support", None)
        image.source_image_id = instance.image_id
        image.source_image_region = backend.region_name
        image.no_reboot = bool(self._get_param("NoReboot", False))
        image.add_tags(tags.get("image", {}))
        backend.amis[ami_id] = image
        complete_image(cloud, pool, instance, image)
        return ActionResult({"ImageId": ami_id})

    def copy_image(self: Any) -> ActionResult:
        """moto copies no disk and omits Encrypted and the source. Snapshots never change, so a hard link is a copy.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CopyImage.html"""
        self.error_on_dryrun()
        backend, name = self.ec2_backend, self._get_param("Name") or ""
        from_region = self._get_param("SourceRegion")
        source = get_available_image(cloud, ec2_backends[ACCOUNT][from_region], self._get_param("SourceImageId"))
        check_image_name(backend, name)
        ami_id = random_ami_id()
        tags = tags_by_resource_type(self._get_param("TagSpecifications", []))
        mappings = copy.deepcopy(source.block_device_mappings)
        for mapping in mappings:
            old = source.ec2_backend.snapshots[mapping["Ebs"]["SnapshotId"]]
            encrypted = old.encrypted or bool(self._get_param("Encrypted", False))
            key = self._get_param("KmsKeyId") or old.kms_key_id
            if encrypted and not key:
                if not backend.default_kms_key_id:
                    backend._create_default_encryption_key()
                key = backend.default_kms_key_id
            new = create_image_snapshot(
                backend, old.volume,
                f"Copied for DestinationAmi {ami_id} from SourceAmi {source.id} for SourceSnapshot {old.id}.",
                ami_id, tags, encrypted=encrypted, kms_key_id=key if encrypted else None,
            )  # fmt: skip
            os.link(cloud.state_dir.snapshot(old.id), cloud.state_dir.snapshot(new.id))
            mapping["Ebs"] |= {"SnapshotId": new.id, "Encrypted": encrypted}
        image = DiskImage(
            backend, ami_id, mappings, source_ami=source, name=name,
            description=self._get_param("Description", source.description), hypervisor="xen",
            root_device_name=source.root_device_name, region_name=backend.region_name + "a",
            boot_mode=source.boot_mode,
        )  # fmt: skip
        image.imds_support = source.imds_support
        image.source_image_id, image.source_image_region = source.id, from_region
        image.add_tags(dict(tags.get("image", {})))
        if self._get_param("CopyImageTags", False):
            image.add_tags({tag["key"]: tag["value"] for tag in source.get_tags()})
        backend.amis[ami_id] = image
        return ActionResult({"ImageId": ami_id})

    def deregister_image(self: Any) -> ActionResult:
        """moto ignores DeleteAssociatedSnapshots and deregistration protection.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeregisterImage.html"""
        self.error_on_dryrun()
        backend, ami_id = self.ec2_backend, self._get_param("ImageId")
        image = backend.amis.get(ami_id)
        if image is not None and image.owner_id != backend.account_id:
            raise EC2ClientError("AuthFailure", f"Not authorized for image:{ami_id}")
        if image is not None and image.deregistration_protection != "disabled":
            problem = f"The image '{ami_id}' has deregistration protection: disable it first."
            raise EC2ClientError("OperationNotPermitted", problem)
        _deregister(backend, ami_id)
        results = []
        if image is not None and self._get_param("DeleteAssociatedSnapshots", False):
            for snapshot_id in image.snapshot_ids():
                backend.delete_snapshot(snapshot_id)
                results.append({"SnapshotId": snapshot_id, "ReturnCode": "success"})
        return ActionResult({"Return": True, "DeleteSnapshotResults": results})

    def register_image(self: Any) -> ActionResult:
        """moto registers an image without a disk, which could not be booted.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RegisterImage.html"""
        raise NotImplementedError("RegisterImage: an image without a disk cannot be booted")

    replace_methods(EC2Backend, _load_amis)
    replace_methods(EC2Response, create_image, copy_image, deregister_image, register_image)


def create_image_snapshot(
    backend: Any, volume: Any, description: str, ami_id: str, tags: dict[str, dict[str, str]], **encryption: Any
) -> Any:
    """Create the snapshot of an image's volume, without its disk."""
    source = SourceVolume(volume.id, volume.size)
    snapshot = Snapshot(backend, random_snapshot_id(), source, description, from_ami=ami_id, **encryption)
    backend.snapshots[snapshot.id] = snapshot
    snapshot.add_tags(tags.get("snapshot", {}))
    return snapshot


def complete_image(cloud: Cloud, pool: MachinePool, instance: Any, image: Any) -> None:
    """Copy the image's disks in the instance's queue, then set its state to available or failed."""
    volumes = {device: attached.volume_id for device, attached in instance.block_device_mapping.items()}

    def work() -> None:
        reason = "an injected fault" if cloud.faults.consume("CreateImage", "failed_ami") else ""
        try:
            targets = {
                volumes[mapping["DeviceName"]]: cloud.state_dir.snapshot(mapping["Ebs"]["SnapshotId"])
                for mapping in image.mappings
                if mapping["DeviceName"] in volumes and "SnapshotId" in mapping["Ebs"]
            }
            if missing := {volume: target for volume, target in targets.items() if not target.exists()}:
                pool.copy_disks(instance, missing, reboot=not image.no_reboot)
        except Exception as error:
            reason = str(error)
        if not reason and (late := cloud.faults.consume("CreateImage", "late_ami")):
            run_later(late.seconds, set_state, "")
        else:
            set_state(reason)

    def set_state(reason: str) -> None:
        with cloud.change():
            image.state = "failed" if reason else "available"
            image.state_reason = {"Code": "Client.InternalError", "Message": reason} if reason else None
            for snapshot_id in image.snapshot_ids():
                if snapshot := image.ec2_backend.snapshots.get(snapshot_id):
                    snapshot.status = "error" if reason else "completed"
                else:  # deleted while it was copied
                    cloud.state_dir.snapshot(snapshot_id).unlink(missing_ok=True)

    cloud.queues.submit(instance.id, work)


def resume(cloud: Cloud, pool: MachinePool, instances: list[Any]) -> None:
    """Complete pending images after a restart, before instances are launched."""
    by_id = {instance.id: instance for instance in instances}
    for image in list_images():
        if image.state == "pending":
            complete_image(cloud, pool, by_id[image.instance_id], image)
