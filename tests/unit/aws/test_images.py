"""AMIs over the wire: found over all pages, waited for, tagged, made to require IMDSv2, removed."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from goldenami.aws import images
from goldenami.errors import AwsError
from goldenami.model.image import Image
from tests.support.aws_stubs import scripted
from tests.support.clock import ScriptedClock

OURS = {"Owners": ["self"], "Filters": [{"Name": "name", "Values": ["web-golden-*", "web-base-*"]}]}
AMI = {"ImageIds": ["ami-1"]}


def described(ami: str = "ami-1", state: str = "available", **facts: Any) -> dict[str, Any]:
    return {"ImageId": ami, "Name": "web-golden-v1.0", "State": state, "Architecture": "x86_64", **facts}


def test_ours_are_found_over_all_pages() -> None:
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html#api-pagination
    with scripted() as wire:
        wire.answer("ec2", "describe_images", OURS, {"Images": [described("ami-1")], "NextToken": "more"})
        wire.answer("ec2", "describe_images", {**OURS, "NextToken": "more"}, {"Images": [], "NextToken": "yet more"})
        wire.answer("ec2", "describe_images", {**OURS, "NextToken": "yet more"}, {"Images": [described("ami-2")]})
        assert [image.id for image in images.list_family(wire.aws, "web")] == ["ami-1", "ami-2"]


def test_an_image_is_read_whole() -> None:
    answer = described(
        CreationDate="2026-03-14T09:26:53.000Z",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
            {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": "snap-data", "VolumeSize": 100}},
            {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-root", "VolumeSize": 8}},
        ],
        ImdsSupport="v2.0",
        Public=True,
        Tags=[{"Key": "Version", "Value": "1.0.0"}],
    )
    with scripted() as wire:
        wire.answer("ec2", "describe_images", AMI, {"Images": [answer]})
        assert images.get(wire.aws, "ami-1") == Image(
            "ami-1",
            "web-golden-v1.0",
            "available",
            "x86_64",
            "2026-03-14T09:26:53.000Z",
            root_device="/dev/xvda",
            size_gib=8,
            snapshots=("snap-data", "snap-root"),
            imds="v2.0",
            public=True,
            tags={"Version": "1.0.0"},
        )


def test_a_pending_image_has_no_snapshot_yet() -> None:
    # While an AMI is pending, its mapping may lack SnapshotId.
    answer = described(state="pending", BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {}}])
    with scripted() as wire:
        wire.answer("ec2", "describe_images", AMI, {"Images": [answer]})
        image = images.get(wire.aws, "ami-1")
    assert image is not None
    assert (image.snapshots, image.size_gib, image.imds, image.tags) == ((), 0, "", {})


@pytest.mark.parametrize("code", ["InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable"])
def test_an_image_that_is_not_there_is_none(code: str) -> None:
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
    with scripted() as wire:
        wire.refuse("ec2", "describe_images", AMI, code)
        assert images.get(wire.aws, "ami-1") is None
        wire.answer("ec2", "describe_images", AMI, {"Images": []})  # a deregistered one, for a while
        assert images.get(wire.aws, "ami-1") is None


def test_other_refusals_are_not_taken_for_absence() -> None:
    with scripted() as wire:
        wire.refuse("ec2", "describe_images", AMI, "UnauthorizedOperation")
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            images.get(wire.aws, "ami-1")


def test_waiting_goes_on_while_the_image_is_unknown_or_pending() -> None:
    # A new id may not be known yet:
    # https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
    clock = ScriptedClock()
    with scripted() as wire:
        wire.refuse("ec2", "describe_images", AMI, "InvalidAMIID.NotFound")
        for state in ("pending", "pending", "available"):
            wire.answer("ec2", "describe_images", AMI, {"Images": [described(state=state)]})
        assert images.wait_available(wire.aws, clock, "ami-1").state == "available"
    assert clock.sleeps == [0.625, 1.25, 2.5]


@pytest.mark.parametrize("state", ["failed", "invalid", "error", "deregistered"])
def test_an_image_that_will_never_be_available_is_not_waited_for(state: str) -> None:
    clock = ScriptedClock()
    with scripted() as wire:
        wire.answer("ec2", "describe_images", AMI, {"Images": [described(state=state)]})
        with pytest.raises(AwsError, match=f"ami-1 did not become available: {state}") as error:
            images.wait_available(wire.aws, clock, "ami-1")
    assert clock.sleeps == []
    assert error.value.next == "aws ec2 describe-images --image-ids ami-1"


def test_waiting_ends_when_the_time_is_up() -> None:
    clock = ScriptedClock()
    with scripted() as wire:
        for _ in range(5):
            wire.answer("ec2", "describe_images", AMI, {"Images": [described(state="pending")]})
        with pytest.raises(AwsError, match="did not become available: pending"):
            images.wait_available(wire.aws, clock, "ami-1", timeout=10)
    assert clock.elapsed == 9.375


def test_tags_go_on_all_in_one_call_and_no_call_is_made_for_none() -> None:
    with scripted() as wire:
        expected = {"Resources": ["ami-1", "snap-1"], "Tags": [{"Key": "Name", "Value": "금"}]}
        wire.answer("ec2", "create_tags", expected, {})
        images.tag(wire.aws, (i for i in ["ami-1", "snap-1"]), {"Name": "금"})
        images.tag(wire.aws, ["ami-1"], {})
        images.tag(wire.aws, [], {"Name": "x"})


def test_imdsv2_is_required_by_the_image_attribute() -> None:
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-IMDS-new-instances.html
    with scripted() as wire:
        expected = {"ImageId": "ami-1", "ImdsSupport": {"Value": "v2.0"}}
        wire.answer("ec2", "modify_image_attribute", expected, {})
        images.require_imdsv2(wire.aws, "ami-1")


def test_an_image_goes_before_its_snapshots_which_it_holds() -> None:
    image = Image("ami-1", "web", "available", "x86_64", "", snapshots=("snap-1", "snap-2"))
    with scripted() as wire:
        wire.answer("ec2", "deregister_image", {"ImageId": "ami-1"}, {})
        wire.answer("ec2", "delete_snapshot", {"SnapshotId": "snap-1"}, {})
        wire.answer("ec2", "delete_snapshot", {"SnapshotId": "snap-2"}, {})
        images.remove(wire.aws, image)
