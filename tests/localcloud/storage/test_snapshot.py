"""What is kept: everything that was answered is there after a restart, and machines run again."""

from __future__ import annotations

from typing import Any

from moto.core.base_backend import BackendDict

from tests.support.cloud_server import eventually, head


def test_everything_survives_a_restart(cloud: Any) -> None:
    cloud.ssm.put_parameter(Name="/app/db/password", Value="s3cret", Type="SecureString")
    cloud.ec2.create_key_pair(KeyName="me", KeyType="ed25519")
    location = {"LocationConstraint": "ap-northeast-2"}
    cloud.s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration=location)
    cloud.s3.put_object(Bucket="artifacts", Key="a/b", Body=b"body" * 100_000, Metadata={"k": "v"})
    cloud.iam.create_role(RoleName="app", AssumeRolePolicyDocument="{}")
    public = cloud.public_ami()
    instance = cloud.run(KeyName="me")
    address = cloud.wait(instance, "running")["PublicIpAddress"]
    with cloud.volume(instance).open("r+b") as disk:
        disk.write(b"baked")
    ami = cloud.ec2.create_image(InstanceId=instance, Name="golden")["ImageId"]
    cloud.wait_image(ami)
    endpoint = cloud.server.endpoint

    cloud.restart()

    assert cloud.server.endpoint == endpoint
    assert cloud.public_ami() == public
    result = cloud.ssm.get_parameter(Name="/app/db/password", WithDecryption=True)["Parameter"]
    assert result["Value"] == "s3cret"
    stored = cloud.s3.get_object(Bucket="artifacts", Key="a/b")
    assert (stored["Body"].read(), stored["Metadata"]) == (b"body" * 100_000, {"k": "v"})
    assert cloud.iam.get_role(RoleName="app")["Role"]["RoleName"] == "app"
    assert cloud.wait(instance, "running")["PublicIpAddress"] == address
    (machine,) = cloud.driver.launched(instance)
    assert machine.on
    assert head(machine.spec.disk, 5) == b"baked"
    second = cloud.run(ImageId=ami)
    assert cloud.wait(second, "running")["PublicIpAddress"] != address
    assert head(cloud.volume(second), 5) == b"baked"


def kill(cloud: Any) -> None:
    """What kill -9 leaves: no clean end, nothing saved after the last reply."""
    cloud.server.cloud.store.save = lambda: None
    cloud.server._server.shutdown()
    cloud.server._server.server_close()
    cloud.server.machine_pool._ended.set()
    cloud.server.stop_periodic_tasks()
    BackendDict.reset()


def test_work_that_was_under_way_is_finished_after_a_crash(cloud: Any) -> None:
    instance = cloud.run()
    cloud.wait(instance, "running")
    queues = cloud.server.cloud.queues
    queues.submit = lambda *_: None  # from here on nothing slow gets done
    ami = cloud.ec2.create_image(InstanceId=instance, Name="golden")["ImageId"]
    launching = cloud.run()
    kill(cloud)
    cloud.start()
    cloud.wait_image(ami)
    assert head(cloud.snapshot(ami)) == b"base image"
    cloud.wait(launching, "running")

    cloud.server.cloud.queues.submit = lambda *_: None
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.ec2.stop_instances(InstanceIds=[launching])
    kill(cloud)
    cloud.start()
    cloud.wait(instance, "terminated")
    cloud.wait(launching, "stopped")
    assert len(list(cloud.folder.volumes.iterdir())) == 1


def test_files_that_nothing_names_are_swept_at_the_start(cloud: Any) -> None:
    stray = cloud.folder.volume("vol-0123456789abcdef0")
    stray.write_bytes(b"")
    cloud.restart()
    assert not stray.exists()


def test_a_state_that_cannot_be_read_is_set_aside_with_its_disks(cloud: Any, capfd: Any) -> None:
    instance = cloud.run()
    cloud.wait(instance, "running")
    name = cloud.volume(instance).name
    cloud.server.stop()
    cloud.folder.snapshot_file.write_bytes(b"not a snapshot")
    cloud.start()
    assert "Cannot read the saved state" in capfd.readouterr().out
    (aside,) = cloud.folder.root.glob("unreadable-*")
    assert (aside / "api.state").read_bytes() == b"not a snapshot"
    assert (cloud.folder.disks / aside.name / "volumes" / name).exists()
    assert cloud.ec2.describe_images(ImageIds=[cloud.public_ami()])["Images"]


def test_deleted_objects_leave_no_bodies(cloud: Any) -> None:
    location = {"LocationConstraint": "ap-northeast-2"}
    cloud.s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration=location)
    cloud.s3.put_object(Bucket="artifacts", Key="kept", Body=b"1")
    cloud.s3.put_object(Bucket="artifacts", Key="gone", Body=b"2")
    cloud.s3.delete_object(Bucket="artifacts", Key="gone")
    cloud.restart()
    assert len(list(cloud.folder.objects.iterdir())) == 1
    assert cloud.s3.get_object(Bucket="artifacts", Key="kept")["Body"].read() == b"1"


def test_a_lost_range_gives_running_instances_new_addresses(cloud: Any) -> None:
    instance = cloud.run()
    cloud.wait(instance, "running")
    cloud.server.stop()
    cloud.folder.range_file.write_text("127.77.77\n")
    cloud.start()
    assert cloud.wait(instance, "running")["PublicIpAddress"].startswith("127.77.77.")
    eventually(lambda: cloud.driver.launched(instance)[0].on)
