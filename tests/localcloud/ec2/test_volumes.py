"""EBS volumes are disks of their own: made, attached, detached, kept, copied and freed as on EC2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.core.base_backend import BackendDict

from localcloud import control
from tests.support.cloud_server import eventually, head

ZONE, GIB = "ap-northeast-2a", 1024**3


def raises(code: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\)")


def volume(cloud: Any, volume_id: str) -> Any:
    return cloud.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]


def create_volume(cloud: Any, **options: Any) -> str:
    """A volume that is available."""
    given = {"AvailabilityZone": ZONE, **({} if "SnapshotId" in options else {"Size": 1}), **options}
    volume_id = str(cloud.ec2.create_volume(**given)["VolumeId"])
    eventually(lambda: volume(cloud, volume_id)["State"] == "available")
    return volume_id


def run_instance(cloud: Any, **options: Any) -> str:
    instance = str(cloud.run(**{"Placement": {"AvailabilityZone": ZONE}, **options}))
    cloud.wait(instance, "running")
    return instance


def attach(cloud: Any, instance: str, volume_id: str, device: str = "/dev/sdf") -> None:
    cloud.ec2.attach_volume(VolumeId=volume_id, InstanceId=instance, Device=device)
    eventually(lambda: volume(cloud, volume_id)["Attachments"][0]["State"] == "attached")


def write(path: Path, data: bytes) -> None:
    with path.open("r+b") as disk:
        disk.write(data)


def machine(cloud: Any, instance: str) -> Any:
    return cloud.driver.launched(instance)[-1]


def test_a_volume_is_an_empty_sparse_disk_with_what_was_asked(cloud: Any) -> None:
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "data"}]}]
    options = {"AvailabilityZone": ZONE, "Size": 20, "VolumeType": "gp3", "Encrypted": True, "TagSpecifications": tags}
    answer = cloud.ec2.create_volume(**options, ClientToken="once")
    assert answer["State"] == "creating"
    assert cloud.ec2.create_volume(**options, ClientToken="once")["VolumeId"] == answer["VolumeId"]
    with raises("IdempotentParameterMismatch"):
        cloud.ec2.create_volume(**{**options, "Size": 21}, ClientToken="once")
    eventually(lambda: volume(cloud, answer["VolumeId"])["State"] == "available")
    response = volume(cloud, answer["VolumeId"])
    assert (response["Size"], response["VolumeType"], response["Encrypted"], response["Throughput"]) == (
        20,
        "gp3",
        True,
        125,
    )
    assert response["Tags"] == tags[0]["Tags"]
    result = cloud.ec2.describe_volumes(Filters=[{"Name": "tag:Name", "Values": ["data"]}])["Volumes"]
    assert [one["VolumeId"] for one in result] == [answer["VolumeId"]]
    path = cloud.folder.volume(answer["VolumeId"])
    assert (path.stat().st_size, path.stat().st_blocks) == (20 * GIB, 0)
    cloud.ec2.delete_volume(VolumeId=answer["VolumeId"])
    assert not path.exists()
    with raises("InvalidVolume.NotFound"):
        cloud.ec2.describe_volumes(VolumeIds=[answer["VolumeId"]])


def test_a_volume_comes_into_a_running_machine_and_goes_out_of_it(cloud: Any) -> None:
    instance, data = run_instance(cloud), create_volume(cloud)
    answer = cloud.ec2.attach_volume(VolumeId=data, InstanceId=instance, Device="/dev/sdf")
    assert answer["State"] == "attaching"
    eventually(lambda: volume(cloud, data)["Attachments"][0]["State"] == "attached")
    (plug,) = machine(cloud, instance).volumes.values()
    assert (plug.disk, plug.serial) == (cloud.folder.volume(data), data.replace("-", ""))
    response = volume(cloud, data)
    assert response["State"] == "in-use"
    assert response["Attachments"][0]["DeleteOnTermination"] is False
    devices = {one["DeviceName"]: one["Ebs"] for one in cloud.instance(instance)["BlockDeviceMappings"]}
    assert (devices["/dev/sdf"]["VolumeId"], devices["/dev/sdf"]["Status"]) == (data, "attached")

    machine(cloud, instance).mounted.add(data)
    assert cloud.ec2.detach_volume(VolumeId=data)["State"] == "detaching"
    eventually(lambda: volume(cloud, data)["Attachments"][0]["State"] == "busy")
    with raises("VolumeInUse"):
        cloud.ec2.delete_volume(VolumeId=data)
    machine(cloud, instance).mounted.clear()
    eventually(lambda: volume(cloud, data)["State"] == "available")
    assert volume(cloud, data)["Attachments"] == []
    assert machine(cloud, instance).volumes == {}


def test_a_stopped_machine_gets_its_volumes_with_its_next_start_and_keeps_them(cloud: Any) -> None:
    instance, data, other = run_instance(cloud), create_volume(cloud), create_volume(cloud)
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.wait(instance, "stopped")
    attach(cloud, instance, data)
    attach(cloud, instance, other, "/dev/sdg")
    cloud.ec2.detach_volume(VolumeId=other)
    eventually(lambda: volume(cloud, other)["State"] == "available")
    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.wait(instance, "running")
    assert set(machine(cloud, instance).volumes) == {data}
    cloud.ec2.reboot_instances(InstanceIds=[instance])
    eventually(lambda: len(cloud.driver.launched(instance)) == 3 and cloud.driver.launched(instance)[2].on)
    assert set(machine(cloud, instance).volumes) == {data}
    cloud.restart()
    cloud.wait(instance, "running")
    assert set(machine(cloud, instance).volumes) == {data}
    assert volume(cloud, data)["Attachments"][0]["State"] == "attached"


def test_a_terminated_instance_releases_its_volumes_and_deletes_those_that_go_with_it(cloud: Any) -> None:
    instance = run_instance(cloud)
    remaining, deleted = create_volume(cloud), create_volume(cloud)
    attach(cloud, instance, remaining)
    attach(cloud, instance, deleted, "/dev/sdg")
    cloud.ec2.modify_instance_attribute(
        InstanceId=instance, BlockDeviceMappings=[{"DeviceName": "/dev/sdg", "Ebs": {"DeleteOnTermination": True}}]
    )
    assert volume(cloud, deleted)["Attachments"][0]["DeleteOnTermination"] is True
    machine(cloud, instance).mounted.add(remaining)
    cloud.ec2.detach_volume(VolumeId=remaining)
    write(cloud.folder.volume(remaining), b"rows")
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    eventually(lambda: volume(cloud, remaining)["State"] == "available")
    assert head(cloud.folder.volume(remaining), 4) == b"rows"
    assert not cloud.folder.volume(deleted).exists()
    second = run_instance(cloud)
    attach(cloud, second, remaining)
    assert set(machine(cloud, second).volumes) == {remaining}


def test_wrong_attachments_are_refused_as_on_ec2(cloud: Any) -> None:
    instance, data, far = (
        run_instance(cloud),
        create_volume(cloud),
        create_volume(cloud, AvailabilityZone="ap-northeast-2c"),
    )
    root = cloud.instance(instance)["BlockDeviceMappings"][0]

    def try_to_attach(**options: Any) -> Any:
        return cloud.ec2.attach_volume(**{"VolumeId": data, "InstanceId": instance, "Device": "/dev/sdf", **options})

    with raises("InvalidVolume.NotFound"):
        try_to_attach(VolumeId="vol-0123456789abcdef0")
    with raises("InvalidInstanceID.NotFound"):
        try_to_attach(InstanceId="i-0123456789abcdef0")
    with raises("InvalidVolume.ZoneMismatch"):
        try_to_attach(VolumeId=far)
    with raises("InvalidParameterValue"):
        try_to_attach(Device=root["DeviceName"])
    with raises("IncorrectState"):
        cloud.ec2.detach_volume(VolumeId=data)
    attach(cloud, instance, data)
    with raises("VolumeInUse"):
        try_to_attach(Device="/dev/sdg")
    with raises("VolumeInUse"):
        cloud.ec2.delete_volume(VolumeId=data)
    with raises("InvalidAttachment.NotFound"):
        cloud.ec2.detach_volume(VolumeId=data, InstanceId=run_instance(cloud))
    with raises("InvalidAttachment.NotFound"):
        cloud.ec2.detach_volume(VolumeId=data, Device="/dev/sdz")
    with raises("OperationNotPermitted"):
        cloud.ec2.detach_volume(VolumeId=root["Ebs"]["VolumeId"])
    spare = create_volume(cloud)
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    with raises("IncorrectState"):
        try_to_attach(VolumeId=spare)
    with raises("InvalidZone.NotFound"):
        cloud.ec2.create_volume(AvailabilityZone="ap-northeast-2z", Size=1)


def test_snapshots_and_volumes_of_them_hold_the_data(cloud: Any) -> None:
    instance, data = run_instance(cloud), create_volume(cloud)
    attach(cloud, instance, data)
    write(cloud.folder.volume(data), b"before")
    snapshot = cloud.ec2.create_snapshot(VolumeId=data)
    assert snapshot["State"] == "pending"
    cloud.ec2.get_waiter("snapshot_completed").wait(
        SnapshotIds=[snapshot["SnapshotId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 5}
    )
    assert "freeze" in machine(cloud, instance).events
    write(cloud.folder.volume(data), b"after ")
    restored = create_volume(cloud, SnapshotId=snapshot["SnapshotId"], Size=3)
    assert head(cloud.folder.volume(restored), 6) == b"before"
    assert cloud.folder.volume(restored).stat().st_size == 3 * GIB
    assert volume(cloud, create_volume(cloud, SnapshotId=snapshot["SnapshotId"]))["Size"] == 1
    cloud.ec2.modify_volume(VolumeId=data, Size=2)
    eventually(lambda: f"resize {data}" in machine(cloud, instance).events)
    assert cloud.ec2.describe_snapshots(SnapshotIds=[snapshot["SnapshotId"]])["Snapshots"][0]["VolumeSize"] == 1
    with raises("InvalidParameterValue"):
        cloud.ec2.modify_volume(VolumeId=data, Size=1)
    big = cloud.ec2.create_snapshot(VolumeId=data)["SnapshotId"]
    eventually(lambda: cloud.folder.snapshot(big).exists())
    eventually(lambda: cloud.ec2.describe_snapshots(SnapshotIds=[big])["Snapshots"][0]["State"] == "completed")
    with raises("InvalidParameterValue"):
        cloud.ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=big, Size=1)
    cloud.ec2.delete_snapshot(SnapshotId=big)
    assert not cloud.folder.snapshot(big).exists()


def test_instances_bring_volumes_of_their_own(cloud: Any) -> None:
    source = create_volume(cloud)
    write(cloud.folder.volume(source), b"seed")
    snapshot = cloud.ec2.create_snapshot(VolumeId=source)["SnapshotId"]
    eventually(lambda: cloud.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["State"] == "completed")
    mappings = [
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 5, "VolumeType": "gp3", "DeleteOnTermination": True}},
        {"DeviceName": "/dev/sdg", "Ebs": {"SnapshotId": snapshot}},
    ]
    cloud.ec2.create_launch_template(
        LaunchTemplateName="data",
        LaunchTemplateData={
            "ImageId": cloud.public_ami(),
            "InstanceType": "t3.micro",
            "Placement": {"AvailabilityZone": ZONE},
            "BlockDeviceMappings": mappings,
        },
    )
    launched = cloud.ec2.run_instances(MinCount=1, MaxCount=1, LaunchTemplate={"LaunchTemplateName": "data"})
    for instance in (launched["Instances"][0]["InstanceId"], run_instance(cloud, BlockDeviceMappings=mappings)):
        response = cloud.wait(instance, "running")
        ids = {one["DeviceName"]: one["Ebs"]["VolumeId"] for one in response["BlockDeviceMappings"]}
        assert set(machine(cloud, instance).volumes) == {ids["/dev/sdf"], ids["/dev/sdg"]}
        assert cloud.folder.volume(ids["/dev/sdf"]).stat().st_size == 5 * GIB
        assert head(cloud.folder.volume(ids["/dev/sdg"]), 4) == b"seed"
        assert volume(cloud, ids["/dev/sdg"])["Size"] == 1
    write(cloud.folder.volume(ids["/dev/sdf"]), b"mine")
    ami = cloud.ec2.create_image(InstanceId=instance, Name="with data")["ImageId"]
    cloud.wait_image(ami)
    copy = cloud.wait(run_instance(cloud, ImageId=ami), "running")
    ids = {one["DeviceName"]: one["Ebs"]["VolumeId"] for one in copy["BlockDeviceMappings"]}
    assert head(cloud.folder.volume(ids["/dev/sdf"]), 4) == b"mine"
    cloud.ec2.terminate_instances(InstanceIds=[copy["InstanceId"]])
    cloud.wait(copy["InstanceId"], "terminated")
    assert not cloud.folder.volume(ids["/dev/sdf"]).exists()
    assert volume(cloud, ids["/dev/sdg"])["State"] == "available"


def test_what_was_under_way_when_the_server_was_killed_is_finished(cloud: Any) -> None:
    instance, coming, going = run_instance(cloud), create_volume(cloud), create_volume(cloud)
    attach(cloud, instance, going)
    cloud.server.cloud.queues.submit = lambda *_: None  # from here on nothing slow gets done
    new = cloud.ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    cloud.ec2.attach_volume(VolumeId=coming, InstanceId=instance, Device="/dev/sdg")
    cloud.ec2.detach_volume(VolumeId=going)
    lost = cloud.ec2.create_snapshot(VolumeId=going)["SnapshotId"]
    with raises("IncorrectState"):
        cloud.ec2.delete_volume(VolumeId=new)
    cloud.server.cloud.store.save = lambda: None
    cloud.server._server.shutdown()
    cloud.server._server.server_close()
    cloud.server.machine_pool._ended.set()
    cloud.server.stop_periodic_tasks()
    BackendDict.reset()

    cloud.start()
    cloud.wait(instance, "running")
    eventually(lambda: volume(cloud, new)["State"] == "available")
    eventually(lambda: volume(cloud, coming)["Attachments"][0]["State"] == "attached")
    assert volume(cloud, going)["State"] == "available"
    assert set(machine(cloud, instance).volumes) == {coming}
    assert cloud.ec2.describe_snapshots(SnapshotIds=[lost])["Snapshots"][0]["State"] == "error"


def test_an_attachment_can_be_stuck_or_fail(cloud: Any) -> None:
    instance, data = run_instance(cloud), create_volume(cloud)
    control.request(cloud.server.endpoint, cloud.folder.read_owner(), "POST", "faults", {"kind": "stuck_attach"})
    cloud.ec2.attach_volume(VolumeId=data, InstanceId=instance, Device="/dev/sdf")
    assert volume(cloud, data)["Attachments"][0]["State"] == "attaching"
    cloud.ec2.detach_volume(VolumeId=data)
    eventually(lambda: volume(cloud, data)["State"] == "available")
    control.request(
        cloud.server.endpoint, cloud.folder.read_owner(), "POST", "faults", {"kind": "stuck_attach", "seconds": 0.3}
    )
    attach(cloud, instance, data)
    cloud.ec2.detach_volume(VolumeId=data)
    eventually(lambda: volume(cloud, data)["State"] == "available")
    cloud.driver.broken = True
    cloud.ec2.attach_volume(VolumeId=data, InstanceId=instance, Device="/dev/sdf")
    eventually(lambda: volume(cloud, data)["State"] == "available")
    assert cloud.folder.volume(data).stat().st_size == GIB
