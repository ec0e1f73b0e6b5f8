"""AMIs keep disks: CreateImage, booting again, copying, deregistering, attributes, pages."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.cloud_server import eventually, head

GIB = 1024**3


def raises(code: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\)")


@pytest.fixture
def instance(cloud: Any) -> str:
    started: str = cloud.run(
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 3, "VolumeType": "gp3", "Encrypted": True}}
        ]
    )
    cloud.wait(started, "running")
    with cloud.volume(started).open("r+b") as disk:
        disk.write(b"baked")
    return started


def create(cloud: Any, instance: str, **options: Any) -> str:
    created: str = cloud.ec2.create_image(InstanceId=instance, Name="golden v1.0", **options)["ImageId"]
    return created


def test_an_image_is_pending_then_available_and_boots_its_own_disk(cloud: Any, instance: str) -> None:
    ami = create(cloud, instance, Description="golden")
    response = cloud.wait_image(ami)
    assert (response["Name"], response["Description"], response["OwnerId"]) == ("golden v1.0", "golden", "123456789012")
    (mapping,) = response["BlockDeviceMappings"]
    assert mapping["DeviceName"] == response["RootDeviceName"] == "/dev/xvda"
    assert (mapping["Ebs"]["VolumeSize"], mapping["Ebs"]["VolumeType"], mapping["Ebs"]["Encrypted"]) == (3, "gp3", True)
    (snapshot,) = cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert (snapshot["State"], snapshot["VolumeSize"], snapshot["Encrypted"]) == ("completed", 3, True)
    second = cloud.run(ImageId=ami)
    cloud.wait(second, "running")
    assert head(cloud.volume(second), 5) == b"baked"
    assert cloud.volume(second).stat().st_size == 3 * GIB


def test_a_running_instance_is_stopped_for_its_image_unless_no_reboot(cloud: Any, instance: str) -> None:
    cloud.wait_image(create(cloud, instance))
    first, second = cloud.driver.launched(instance)
    assert (first.events, second.events) == (["start", "stop"], ["start"])
    ami = cloud.ec2.create_image(InstanceId=instance, Name="golden v1.1", NoReboot=True)["ImageId"]
    cloud.wait_image(ami)
    assert second.events == ["start", "freeze"]
    assert cloud.instance(instance)["State"]["Name"] == "running"


def test_terminating_the_source_leaves_the_image_whole(cloud: Any, instance: str) -> None:
    ami = create(cloud, instance)
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait_image(ami)
    assert head(cloud.snapshot(ami), 5) == b"baked"


def test_tags_for_image_and_snapshot_go_where_they_belong(cloud: Any, instance: str) -> None:
    specifications = [
        {"ResourceType": kind, "Tags": [{"Key": "Kind", "Value": kind}, {"Key": "이름", "Value": "$x ${y}"}]}
        for kind in ("image", "snapshot")
    ]
    ami = create(cloud, instance, TagSpecifications=specifications)
    response = {tag["Key"]: tag["Value"] for tag in cloud.wait_image(ami)["Tags"]}
    assert response == {"Kind": "image", "이름": "$x ${y}"}
    (snapshot,) = cloud.ec2.describe_snapshots(Filters=[{"Name": "tag:Kind", "Values": ["snapshot"]}])["Snapshots"]
    assert snapshot["SnapshotId"] == cloud.snapshot(ami).stem
    with raises("InvalidParameterValue"):
        wrong = [{"ResourceType": "volume", "Tags": []}]
        cloud.ec2.create_image(InstanceId=instance, Name="golden v1.1", TagSpecifications=wrong)


def test_names_are_unique_and_well_formed(cloud: Any, instance: str) -> None:
    ami = create(cloud, instance)
    with raises("InvalidAMIName.Duplicate"):
        create(cloud, instance)
    with raises("InvalidAMIName.Malformed"):
        cloud.ec2.create_image(InstanceId=instance, Name="골든 이미지")
    cloud.wait_image(ami)
    cloud.ec2.deregister_image(ImageId=ami)
    create(cloud, instance)


def test_deregistering_and_deleting_the_snapshot_frees_the_disk(cloud: Any, instance: str) -> None:
    ami = create(cloud, instance)
    cloud.wait_image(ami)
    path = cloud.snapshot(ami)
    with raises("InvalidSnapshot.InUse"):
        cloud.ec2.delete_snapshot(SnapshotId=path.stem)
    cloud.ec2.deregister_image(ImageId=ami)
    assert path.exists()
    cloud.ec2.delete_snapshot(SnapshotId=path.stem)
    assert not path.exists()
    with raises("InvalidAMIID.Unavailable"):
        cloud.run(ImageId=ami)


def test_deregistering_can_delete_the_snapshots_too(cloud: Any, instance: str) -> None:
    ami = create(cloud, instance)
    cloud.wait_image(ami)
    path = cloud.snapshot(ami)
    cloud.ec2.deregister_image(ImageId=ami, DeleteAssociatedSnapshots=True)
    assert not path.exists()
    assert cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def test_a_copy_is_an_image_of_its_own(cloud: Any, instance: str) -> None:
    source = create(cloud, instance)
    cloud.wait_image(source)
    key = cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"][0]["KmsKeyId"]
    copied = cloud.ec2.copy_image(
        SourceImageId=source, SourceRegion="ap-northeast-2", Name="copy", Encrypted=True, KmsKeyId=key
    )["ImageId"]
    response = cloud.wait_image(copied)
    assert (response["SourceImageId"], response["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]) == (source, True)
    cloud.ec2.deregister_image(ImageId=source, DeleteAssociatedSnapshots=True)
    assert head(cloud.snapshot(copied), 5) == b"baked"


def test_imds_support_makes_instances_require_tokens(cloud: Any, instance: str) -> None:
    ami = create(cloud, instance)
    cloud.wait_image(ami)
    cloud.ec2.modify_image_attribute(ImageId=ami, ImdsSupport={"Value": "v2.0"})
    assert cloud.image(ami)["ImdsSupport"] == "v2.0"
    response = cloud.ec2.describe_image_attribute(ImageId=ami, Attribute="imdsSupport")
    assert response["ImdsSupport"] == {"Value": "v2.0"}
    second = cloud.run(ImageId=ami)
    assert cloud.wait(second, "running")["MetadataOptions"]["HttpTokens"] == "required"


def test_launch_permissions_description_deprecation_and_protection(cloud: Any, instance: str) -> None:
    ami = create(cloud, instance)
    cloud.wait_image(ami)
    cloud.ec2.modify_image_attribute(ImageId=ami, LaunchPermission={"Add": [{"UserId": "210987654321"}]})
    response = cloud.ec2.describe_image_attribute(ImageId=ami, Attribute="launchPermission")
    assert response["LaunchPermissions"] == [{"UserId": "210987654321"}]
    assert not cloud.image(ami)["Public"]
    cloud.ec2.modify_image_attribute(ImageId=ami, Description={"Value": "new"})
    assert cloud.image(ami)["Description"] == "new"
    cloud.ec2.enable_image_deprecation(ImageId=ami, DeprecateAt="2030-01-01T00:00:00Z")
    assert cloud.image(ami)["DeprecationTime"].startswith("2030-01-01T00:00:00")
    cloud.ec2.enable_image_deregistration_protection(ImageId=ami)
    with raises("OperationNotPermitted"):
        cloud.ec2.deregister_image(ImageId=ami)
    cloud.ec2.disable_image_deregistration_protection(ImageId=ami)
    cloud.ec2.deregister_image(ImageId=ami)


def test_the_public_image_is_debian_s_and_only_debian_s_to_change(cloud: Any) -> None:
    (response,) = cloud.ec2.describe_images(Owners=["136693071363"])["Images"]
    assert (response["ImageId"], response["Name"]) == (cloud.public_ami(), "debian-12-amd64-20260101-local")
    assert response["Public"]
    assert response["CreationDate"] == "2026-01-01T00:00:00.000Z"
    assert cloud.ec2.describe_images(Owners=["self"])["Images"] == []
    with raises("AuthFailure"):
        cloud.ec2.deregister_image(ImageId=response["ImageId"])


def test_images_and_snapshots_come_in_pages(cloud: Any, instance: str) -> None:
    created = {
        cloud.ec2.create_image(InstanceId=instance, Name=f"golden {n}", NoReboot=True)["ImageId"] for n in range(5)
    }
    for action, field, name in (
        ("describe_images", "Images", "ImageId"),
        ("describe_snapshots", "Snapshots", "SnapshotId"),
    ):
        given = {"Owners": ["self"]} if field == "Images" else {"OwnerIds": ["self"]}
        pages = cloud.ec2.get_paginator(action).paginate(**given, PaginationConfig={"PageSize": 2})
        shown = [[one[name] for one in page[field]] for page in pages]
        assert [len(page) for page in shown] == [2, 2, 1]
        if field == "Images":
            assert {one for page in shown for one in page} == created
    with raises("InvalidNextToken"):
        cloud.ec2.describe_images(NextToken="nonsense")


def test_a_snapshot_of_a_volume_has_its_data(cloud: Any, instance: str) -> None:
    volume = cloud.volume(instance).stem
    snapshot = cloud.ec2.create_snapshot(VolumeId=volume, Description="backup")["SnapshotId"]
    eventually(lambda: cloud.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["State"] == "completed")
    assert head(cloud.folder.snapshot(snapshot), 5) == b"baked"


def test_an_ami_parameter_that_names_no_image_is_not_kept(cloud: Any, instance: str) -> None:
    def put(value: str) -> None:
        cloud.ssm.put_parameter(
            Name="/golden/ami", Value=value, Type="String", DataType="aws:ec2:image", Overwrite=True
        )

    def versions() -> list[str]:
        history = cloud.ssm.get_parameter_history(Name="/golden/ami")["Parameters"]
        return [one["Value"] for one in history]

    ami = create(cloud, instance)
    cloud.wait_image(ami)
    put(ami)
    put("ami-0123456789abcdef0")
    assert len(versions()) == 2
    eventually(lambda: versions() == [ami])
