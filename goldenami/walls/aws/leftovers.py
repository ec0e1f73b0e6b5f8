"""What a run made in EC2 and may have left behind, found by the run id in its tags.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from goldenami.values.images import RUN
from goldenami.walls.aws import instances, networks
from goldenami.walls.aws.connection import Connection
from goldenami.walls.aws.errors import code
from goldenami.walls.aws.tags import mapping
from goldenami.walls.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, TagTypeDef

Kind = Literal["instance", "volume", "snapshot", "security-group", "key-pair"]
# An instance holds its volumes and security group, so it goes first.
_ORDER: tuple[Kind, ...] = ("instance", "volume", "snapshot", "key-pair", "security-group")


@dataclass(frozen=True)
class Leftover:
    """Something that carries a run's tag and is not part of an AMI; `busy` while it is attached to something."""

    kind: Kind
    id: str
    run_id: str
    detail: str = ""
    busy: bool = False


def find(aws: Connection) -> list[Leftover]:
    """Everything with a run tag that costs money or clutters the account, in the order in which it can be removed.

    Snapshots behind an AMI and terminated instances are not leftovers.
    """
    ec2 = aws.client("ec2")
    ours: list[FilterTypeDef] = [{"Name": "tag-key", "Values": [RUN]}]
    found: list[Leftover] = []

    def add(kind: Kind, identity: str, tags: Iterable[TagTypeDef], detail: str = "", *, busy: bool = False) -> None:
        found.append(Leftover(kind, identity, mapping(tags).get(RUN, ""), detail, busy))

    for machines in ec2.get_paginator("describe_instances").paginate(Filters=ours):
        for machine in (i for r in machines["Reservations"] for i in r["Instances"]):
            if machine["State"]["Name"] not in ("terminated", "shutting-down"):
                add("instance", machine["InstanceId"], machine["Tags"], machine["State"]["Name"])
    for volumes in ec2.get_paginator("describe_volumes").paginate(Filters=ours):
        for volume in volumes["Volumes"]:
            add(
                "volume",
                volume["VolumeId"],
                volume["Tags"],
                f"{volume['Size']} GiB, {volume['State']}",
                busy=volume["State"] != "available",
            )
    used = _snapshots_of_images(aws)
    for snapshots in ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=ours):
        for snapshot in snapshots["Snapshots"]:
            if snapshot["SnapshotId"] not in used:
                add("snapshot", snapshot["SnapshotId"], snapshot["Tags"], f"{snapshot['VolumeSize']} GiB")
    for key in ec2.describe_key_pairs(Filters=ours)["KeyPairs"]:
        add("key-pair", key["KeyPairId"], key.get("Tags", []), key["KeyName"])
    for groups in ec2.get_paginator("describe_security_groups").paginate(Filters=ours):
        for group in groups["SecurityGroups"]:
            add("security-group", group["GroupId"], group["Tags"], group["GroupName"])
    return sorted(found, key=lambda left: (_ORDER.index(left.kind), left.id))


def remove(aws: Connection, clock: Clock, left: Leftover) -> None:
    """Remove one of them; one that is gone already is fine."""
    ec2 = aws.client("ec2")
    try:
        if left.kind == "instance":
            instances.terminate(aws, clock, left.id)
        elif left.kind == "volume":
            ec2.delete_volume(VolumeId=left.id)
        elif left.kind == "snapshot":
            ec2.delete_snapshot(SnapshotId=left.id)
        elif left.kind == "key-pair":
            ec2.delete_key_pair(KeyPairId=left.id)
        else:
            networks.delete_security_group(aws, clock, left.id)
    except ClientError as error:
        if not code(error).endswith(".NotFound"):
            raise


def _snapshots_of_images(aws: Connection) -> set[str]:
    pages = aws.client("ec2").get_paginator("describe_images").paginate(Owners=["self"])
    return {
        mapping["Ebs"]["SnapshotId"]
        for page in pages
        for image in page["Images"]
        for mapping in image.get("BlockDeviceMappings", [])
        if "SnapshotId" in mapping.get("Ebs", {})
    }
