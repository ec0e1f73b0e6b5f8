"""AMIs with disks: their model, the check that one can be launched, and the parameters of requests that create one."""

from __future__ import annotations

import re
from typing import Any

from moto.ec2.exceptions import EC2ClientError, InvalidAMIIdError, MalformedAMIIdError
from moto.ec2.models.amis import Ami

from localcloud.core.cloud import Cloud


class DiskImage(Ami):  # type: ignore[misc]
    """An AMI with the given snapshots. moto invents a 15 GiB snapshot for each AMI.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Image.html"""

    def __init__(self, backend: Any, ami_id: str, mappings: list[dict[str, Any]], **fields: Any) -> None:
        super().__init__(backend, ami_id, **fields)
        del backend.snapshots[self.ebs_snapshot.id], self.ebs_snapshot
        self.instance = None  # a reference would keep a terminated instance in the saved state
        self.mappings = mappings
        self.root_device_type = "ebs"
        self.ena_support = True
        self.image_location = f"{self.owner_id}/{self.name}"
        self.imds_support: str | None = None
        self.deprecation_time: Any = None
        self.deregistration_protection = "disabled"
        self.source_image_id: str | None = None
        self.source_image_region: str | None = None
        self.state_reason: dict[str, str] | None = None

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        return self.mappings

    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        """moto lacks these two filters. https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html"""
        if filter_name == "source-image-id":
            return self.source_image_id or ""
        if filter_name == "block-device-mapping.snapshot-id":
            return self.snapshot_ids()
        return super().get_filter_value(filter_name, method_name)

    def snapshot_ids(self) -> list[str]:
        return [mapping["Ebs"]["SnapshotId"] for mapping in self.mappings if "SnapshotId" in mapping["Ebs"]]


class SourceVolume:
    """The properties of a volume that moto's Snapshot needs, kept after the volume was deleted."""

    def __init__(self, volume_id: str, size: int) -> None:
        self.id, self.size = volume_id, size


def get_available_image(cloud: Cloud, backend: Any, ami_id: str | None) -> Any:
    """Return an AMI that can be launched. Raises EC2's error if the id is malformed, unknown or not available."""
    if not ami_id or not ami_id.startswith("ami-"):
        raise MalformedAMIIdError([ami_id])
    image = backend.amis.get(ami_id)
    if image is None:
        if ami_id in backend.deleted_amis:
            raise unavailable_error(ami_id)
        raise InvalidAMIIdError([ami_id])
    root = next((m for m in image.block_device_mappings if m["DeviceName"] == image.root_device_name), None)
    if image.state != "available" or root is None or not cloud.state_dir.snapshot(root["Ebs"]["SnapshotId"]).exists():
        raise unavailable_error(ami_id)
    return image


def unavailable_error(ami_id: str) -> Exception:
    return EC2ClientError(  # type: ignore[no-any-return]
        "InvalidAMIID.Unavailable", f"The image ID '{ami_id}' is no longer available"
    )


def check_image_name(backend: Any, name: str) -> None:
    """Raise EC2's error for an invalid or duplicate name.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html"""
    if not re.fullmatch(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}", name):
        raise EC2ClientError(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, "
            "'(', ')', '[', ']', ' ', '.', '/', '-', ''', '@' and '_'",
        )
    for image in backend.amis.values():
        if image.name == name and image.owner_id == backend.account_id and image.state != "failed":
            raise EC2ClientError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image.id}")


def tags_by_resource_type(specifications: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Return the tags of CreateImage's or CopyImage's TagSpecifications by resource type."""
    tags: dict[str, dict[str, str]] = {}
    for specification in specifications:
        resource_type = specification.get("ResourceType")
        if resource_type not in ("image", "snapshot"):
            problem = f"'{resource_type}' is not a valid taggable resource type for this operation."
            raise EC2ClientError("InvalidParameterValue", problem)
        requested = {tag["Key"]: tag.get("Value", "") for tag in specification.get("Tags", [])}
        tags.setdefault(resource_type, {}).update(requested)
    return tags


def block_device_mapping(device: str, snapshot: Any, volume: Any, delete: bool) -> dict[str, Any]:
    """Return the block device mapping of an image for one of the instance's volumes."""
    ebs = {
        "SnapshotId": snapshot.id, "VolumeSize": volume.size, "VolumeType": volume.volume_type, "Iops": volume.iops,
        "Throughput": volume.throughput, "DeleteOnTermination": delete, "Encrypted": volume.encrypted,
    }  # fmt: skip
    return {"DeviceName": device, "Ebs": {name: value for name, value in ebs.items() if value is not None}}


def override_mapping(mappings: list[dict[str, Any]], override: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the instance's block device mappings, changed by one of CreateImage's own."""
    if override.get("NoDevice") is not None:
        return mappings
    ebs = {key: value for key, value in (override.get("Ebs") or {}).items() if key not in ("SnapshotId", "Encrypted")}
    for mapping in mappings:
        if mapping["DeviceName"] == override.get("DeviceName"):
            mapping["Ebs"].update(ebs)
            return mappings
    return [*mappings, override]
