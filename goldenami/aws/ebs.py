"""EBS volumes that hold data, and their snapshots. A volume is never detached by force.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AttachVolume.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code, suppress
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import tag_specification
from goldenami.errors import AwsError
from goldenami.model.image import VOLUME_TAG
from goldenami.model.resources import DATA_DEVICE, DataVolumeState, Snapshot
from goldenami.tools.clock import Clock, wait_until

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import VolumeTypeDef


def list_volumes(aws: AwsSession, name: str) -> list[DataVolumeState]:
    """Return every volume that holds a service's data, found by its tag."""
    paginator = aws.client("ec2").get_paginator("describe_volumes")
    pages = paginator.paginate(Filters=[{"Name": f"tag:{VOLUME_TAG}", "Values": [name]}])
    volumes = [_volume(volume) for page in pages for volume in page["Volumes"]]
    return sorted((v for v in volumes if v.state not in ("deleting", "deleted")), key=lambda v: v.id)


def create(
    aws: AwsSession, zone: str, size: int, kind: str, key: str, tags: Mapping[str, str], token: str, snapshot: str = ""
) -> str:
    """Create an encrypted volume of `size` GiB, or return the id of the one that was created with the same token.

    An empty `key` is the account's default key for EBS. With a snapshot, the volume has its contents.
    """
    request: dict[str, Any] = {
        "AvailabilityZone": zone,
        "Size": size,
        "VolumeType": kind,
        "Encrypted": True,
        "TagSpecifications": [tag_specification("volume", tags)],
        "ClientToken": token,
    }
    if key:
        request["KmsKeyId"] = key
    if snapshot:
        request["SnapshotId"] = snapshot
    return str(aws.client("ec2").create_volume(**request)["VolumeId"])


def resize(aws: AwsSession, volume: str, size: int) -> None:
    """Enlarge a volume to `size` GiB; its file system is enlarged at the next mount."""
    aws.client("ec2").modify_volume(VolumeId=volume, Size=size)


def wait_available(aws: AwsSession, clock: Clock, volume: str, timeout: float = 600) -> None:
    """Wait until a volume is detached.

    Raises:
        AwsError: The volume is not available after `timeout` seconds.
    """

    def still_attached(state: DataVolumeState) -> AwsError:
        attachment = f" ({state.attachment} at {state.instance})" if state.instance else ""
        return AwsError(
            f"{volume} is still {state.state}{attachment} after {timeout:.0f} s",
            state="The data is intact. The volume was not detached by force.",
            next=f"./invoke logs --instance {state.instance}; then the same command again" if state.instance else "",
        )

    wait_until(
        clock,
        lambda: _get(aws, volume),
        lambda state: state.state == "available",
        timeout=timeout,
        every=1,
        on_timeout=still_attached,
    )


def attach(aws: AwsSession, clock: Clock, volume: str, instance: str, timeout: float = 180) -> None:
    """Attach a volume to a running or stopped instance, and wait until it is attached.

    Raises:
        AwsError: The volume is not attached after `timeout` seconds.
    """
    try:
        aws.client("ec2").attach_volume(VolumeId=volume, InstanceId=instance, Device=DATA_DEVICE)
    except ClientError as error:
        # boto3 repeats the call after a lost reply, when the volume is attached already.
        if code(error) != "VolumeInUse" or _get(aws, volume).instance != instance:
            raise
    wait_until(
        clock,
        lambda: _get(aws, volume),
        lambda state: (state.instance, state.attachment) == (instance, "attached"),
        timeout=timeout,
        every=0.5,
        failed=lambda state: not state.instance,
        on_timeout=lambda state: AwsError(
            f"{volume} was not attached to {instance}: {state.attachment or state.state} after {timeout:.0f} s",
            state="The data is intact.",
        ),
    )


def detach(aws: AwsSession, volume: str, instance: str) -> None:
    """Start to detach a volume; no error if it is not attached to the instance."""
    with suppress("IncorrectState", "InvalidAttachment.NotFound"):
        aws.client("ec2").detach_volume(VolumeId=volume, InstanceId=instance)


def create_snapshot(aws: AwsSession, volume: str, why: str, tags: Mapping[str, str]) -> str:
    """Start a snapshot of a volume and return its id. Later writes to the volume do not change the snapshot."""
    response = aws.client("ec2").create_snapshot(
        VolumeId=volume, Description=why, TagSpecifications=[tag_specification("snapshot", tags)]
    )
    return response["SnapshotId"]


def list_snapshots(aws: AwsSession, name: str) -> list[Snapshot]:
    """Return the completed snapshots of a service's volume."""
    paginator = aws.client("ec2").get_paginator("describe_snapshots")
    filters: Any = [{"Name": f"tag:{VOLUME_TAG}", "Values": [name]}, {"Name": "status", "Values": ["completed"]}]
    pages = paginator.paginate(OwnerIds=["self"], Filters=filters)
    return [Snapshot(s["SnapshotId"], s["StartTime"]) for page in pages for s in page["Snapshots"]]


def delete_snapshot(aws: AwsSession, snapshot: str) -> None:
    """Delete a snapshot; no error if it does not exist."""
    with suppress("InvalidSnapshot.NotFound"):
        aws.client("ec2").delete_snapshot(SnapshotId=snapshot)


def _get(aws: AwsSession, volume: str) -> DataVolumeState:
    return _volume(aws.client("ec2").describe_volumes(VolumeIds=[volume])["Volumes"][0])


def _volume(volume: VolumeTypeDef) -> DataVolumeState:
    attachments = [a for a in volume.get("Attachments", []) if a.get("State") != "detached"]
    return DataVolumeState(
        id=volume["VolumeId"],
        zone=volume["AvailabilityZone"],
        size=volume["Size"],
        state=volume["State"],
        instance=attachments[0].get("InstanceId", "") if attachments else "",
        attachment=attachments[0].get("State", "") if attachments else "",
        encrypted=volume.get("Encrypted", False),
    )
