"""Volumes that hold data: found by tag, made once, attached, detached (never by force), kept in snapshots.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AttachVolume.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import tag_specification
from goldenami.errors import AwsError
from goldenami.model.image import VOLUME_TAG
from goldenami.model.resources import DATA_DEVICE, DataVolumeState, Snapshot
from goldenami.tools.clock import Clock, poll

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import VolumeTypeDef


def find(aws: AwsSession, name: str) -> list[DataVolumeState]:
    """Every volume that holds a service's data, by its tag."""
    pages = aws.client("ec2").get_paginator("describe_volumes")
    found = pages.paginate(Filters=[{"Name": f"tag:{VOLUME_TAG}", "Values": [name]}])
    there = [_volume(one) for page in found for one in page["Volumes"]]
    return sorted((one for one in there if one.state not in ("deleting", "deleted")), key=lambda one: one.id)


def create(aws: AwsSession, zone: str, size: int, kind: str, key: str, tags: Mapping[str, str], token: str) -> str:
    """Make an encrypted volume; asked again with the same token, the same one.

    Args:
        aws: Where.
        zone: The availability zone.
        size: In GiB.
        kind: Its EBS type.
        key: The KMS key that encrypts it; the account's default for EBS when empty.
        tags: Put on in the same call.
        token: Of this wish.

    Returns:
        Its id.
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
    return str(aws.client("ec2").create_volume(**request)["VolumeId"])


def grow(aws: AwsSession, volume: str, size: int) -> None:
    """Make a volume larger (GiB); its file system follows when it is mounted the next time."""
    aws.client("ec2").modify_volume(VolumeId=volume, Size=size)


def wait_available(aws: AwsSession, clock: Clock, volume: str, timeout: float = 600) -> None:
    """Wait until a volume is attached to nothing.

    Raises:
        AwsError: It is not when the time (seconds) is up; it is never forced.
    """
    seen = DataVolumeState(volume, "", 0, "unknown")
    for _ in poll(clock, timeout=timeout, every=1):
        seen = _get(aws, volume)
        if seen.state == "available":
            return
    at = f" ({seen.attachment} at {seen.instance})" if seen.instance else ""
    raise AwsError(
        f"{volume} is still {seen.state}{at} after {timeout:.0f} s",
        state="It holds every row; it was not forced off.",
        next=f"./invoke logs --instance {seen.instance}; the same command goes on" if seen.instance else "",
    )


def attach(aws: AwsSession, clock: Clock, volume: str, instance: str, timeout: float = 180) -> None:
    """Attach a volume to a running or stopped instance, and wait until it is.

    Raises:
        AwsError: It is not when the time (seconds) is up.
    """
    try:
        aws.client("ec2").attach_volume(VolumeId=volume, InstanceId=instance, Device=DATA_DEVICE)
    except ClientError as error:
        # A lost reply is repeated: then it may be there already.
        if code(error) != "VolumeInUse" or _get(aws, volume).instance != instance:
            raise
    seen = DataVolumeState(volume, "", 0, "unknown")
    for _ in poll(clock, timeout=timeout, every=0.5):
        seen = _get(aws, volume)
        if (seen.instance, seen.attachment) == (instance, "attached"):
            return
        if not seen.instance:
            break
    raise AwsError(
        f"{volume} does not come to {instance} ({seen.attachment or seen.state} after {timeout:.0f} s)",
        state="It holds every row.",
    )


def detach(aws: AwsSession, volume: str, instance: str) -> None:
    """Ask for a volume to be detached; one that is not attached there any more is fine."""
    try:
        aws.client("ec2").detach_volume(VolumeId=volume, InstanceId=instance)
    except ClientError as error:
        if code(error) not in ("IncorrectState", "InvalidAttachment.NotFound"):
            raise


def snapshot(aws: AwsSession, volume: str, why: str, tags: Mapping[str, str]) -> str:
    """Keep what a volume holds at this moment; its id. The data is on its way when this returns, and safe from changes."""
    answer = aws.client("ec2").create_snapshot(
        VolumeId=volume, Description=why, TagSpecifications=[tag_specification("snapshot", tags)]
    )
    return answer["SnapshotId"]


def snapshots(aws: AwsSession, name: str) -> list[Snapshot]:
    """The snapshots of a service's volume that hold it whole."""
    pages = aws.client("ec2").get_paginator("describe_snapshots")
    ours: Any = [{"Name": f"tag:{VOLUME_TAG}", "Values": [name]}, {"Name": "status", "Values": ["completed"]}]
    found = pages.paginate(OwnerIds=["self"], Filters=ours)
    return [Snapshot(one["SnapshotId"], one["StartTime"]) for page in found for one in page["Snapshots"]]


def delete_snapshot(aws: AwsSession, snapshot: str) -> None:
    """Delete a snapshot; one that is gone is fine."""
    try:
        aws.client("ec2").delete_snapshot(SnapshotId=snapshot)
    except ClientError as error:
        if code(error) != "InvalidSnapshot.NotFound":
            raise


def _get(aws: AwsSession, volume: str) -> DataVolumeState:
    return _volume(aws.client("ec2").describe_volumes(VolumeIds=[volume])["Volumes"][0])


def _volume(found: VolumeTypeDef) -> DataVolumeState:
    attached = [one for one in found.get("Attachments", []) if one.get("State") != "detached"]
    return DataVolumeState(
        id=found["VolumeId"],
        zone=found["AvailabilityZone"],
        size=found["Size"],
        state=found["State"],
        instance=attached[0].get("InstanceId", "") if attached else "",
        attachment=attached[0].get("State", "") if attached else "",
        encrypted=found.get("Encrypted", False),
    )
