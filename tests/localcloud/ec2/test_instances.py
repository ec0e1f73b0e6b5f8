"""RunInstances, Stop, Start, Reboot, Terminate: the API and the machine agree."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.cloud_server import eventually, head

ROOT = "/dev/xvda"


def raises(code: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\)")


def test_an_instance_is_pending_then_running_on_a_copy_of_the_ami_s_disk(cloud: Any) -> None:
    instance = cloud.run(BlockDeviceMappings=[{"DeviceName": ROOT, "Ebs": {"VolumeSize": 8}}])
    response = cloud.wait(instance, "running")
    assert response["PublicIpAddress"].startswith(cloud.server.cloud.prefix + ".")
    assert head(cloud.volume(instance)) == b"base image"
    assert cloud.volume(instance).stat().st_size == 8 * 1024**3
    (machine,) = cloud.driver.launched(instance)
    assert machine.spec.address == response["PublicIpAddress"]
    assert (machine.spec.vcpus, machine.spec.memory_mib) == (2, 1024)
    assert machine.spec.environment == {"AWS_ENDPOINT_URL": "http://169.254.169.250"}
    assert len(response["BlockDeviceMappings"]) == 1


def test_stop_start_reboot_terminate_act_on_the_machine(cloud: Any) -> None:
    instance = cloud.run()
    cloud.wait(instance, "running")
    cloud.ec2.stop_instances(InstanceIds=[instance])
    assert "PublicIpAddress" not in cloud.wait(instance, "stopped")
    assert cloud.driver.launched(instance)[0].events == ["start", "stop"]
    with cloud.volume(instance).open("r+b") as disk:
        disk.write(b"kept")
    cloud.ec2.start_instances(InstanceIds=[instance])
    cloud.wait(instance, "running")
    assert head(cloud.volume(instance), 4) == b"kept"
    cloud.ec2.reboot_instances(InstanceIds=[instance])
    eventually(lambda: len(cloud.driver.launched(instance)) == 3 and cloud.driver.launched(instance)[2].on)
    path = cloud.volume(instance)
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    assert not path.exists()
    assert not any(machine.on for machine in cloud.driver.machines)


def test_a_volume_that_is_not_deleted_on_termination_stays(cloud: Any) -> None:
    instance = cloud.run(
        BlockDeviceMappings=[{"DeviceName": ROOT, "Ebs": {"VolumeSize": 2, "DeleteOnTermination": False}}]
    )
    cloud.wait(instance, "running")
    path = cloud.volume(instance)
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    assert path.exists()
    cloud.ec2.delete_volume(VolumeId=path.stem)
    assert not path.exists()


def test_a_volume_keeps_its_type_iops_throughput_and_encryption(cloud: Any) -> None:
    ebs = {"VolumeSize": 4, "VolumeType": "gp3", "Iops": 4000, "Throughput": 250, "Encrypted": True}
    instance = cloud.run(BlockDeviceMappings=[{"DeviceName": ROOT, "Ebs": ebs}])
    cloud.wait(instance, "running")
    (volume,) = cloud.ec2.describe_volumes()["Volumes"]
    assert {name: volume[name] for name in ("VolumeType", "Iops", "Throughput", "Encrypted", "Size")} == {
        "VolumeType": "gp3",
        "Iops": 4000,
        "Throughput": 250,
        "Encrypted": True,
        "Size": 4,
    }


def test_a_root_volume_smaller_than_its_snapshot_is_refused(cloud: Any) -> None:
    instance = cloud.run(BlockDeviceMappings=[{"DeviceName": ROOT, "Ebs": {"VolumeSize": 4}}])
    cloud.wait(instance, "running")
    ami = cloud.ec2.create_image(InstanceId=instance, Name="four GiB")["ImageId"]
    cloud.wait_image(ami)
    with raises("InvalidBlockDeviceMapping"):
        cloud.run(ImageId=ami, BlockDeviceMappings=[{"DeviceName": ROOT, "Ebs": {"VolumeSize": 2}}])


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "golden"}, "InvalidAMIID.Malformed"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"InstanceType": "t3.colossal"}, "InvalidInstanceType.NotFound"),
    ],
)
def test_what_does_not_exist_is_refused(cloud: Any, options: dict[str, Any], code: str) -> None:
    with raises(code):
        cloud.run(**options)
    assert cloud.ec2.describe_instances()["Reservations"] == []


def test_the_same_client_token_is_the_same_instance(cloud: Any) -> None:
    first = cloud.run(ClientToken="once")
    assert cloud.run(ClientToken="once") == first
    result = cloud.ec2.describe_instances(Filters=[{"Name": "client-token", "Values": ["once"]}])["Reservations"]
    assert [one["InstanceId"] for one in result[0]["Instances"]] == [first]
    with raises("IdempotentParameterMismatch"):
        cloud.run(ClientToken="once", InstanceType="t3.small")


def test_max_count_is_what_is_launched(cloud: Any) -> None:
    launched = cloud.ec2.run_instances(ImageId=cloud.public_ami(), InstanceType="t3.micro", MinCount=1, MaxCount=3)
    ids = [one["InstanceId"] for one in launched["Instances"]]
    addresses = {cloud.wait(one, "running")["PublicIpAddress"] for one in ids}
    assert len(addresses) == 3


def test_a_launch_that_fails_ends_terminated_with_its_reason(cloud: Any) -> None:
    cloud.driver.broken = True
    instance = cloud.run()
    response = cloud.wait(instance, "terminated")
    assert response["StateReason"]["Code"] == "Server.InternalError"
    assert "broken" in response["StateReason"]["Message"]
    assert list(cloud.folder.volumes.iterdir()) == []


@pytest.mark.parametrize(("behaviour", "state"), [("stop", "stopped"), ("terminate", "terminated")])
def test_a_guest_that_powers_off_stops_or_terminates(cloud: Any, behaviour: str, state: str) -> None:
    instance = cloud.run(InstanceInitiatedShutdownBehavior=behaviour)
    cloud.wait(instance, "running")
    cloud.driver.launched(instance)[0].on = False
    response = cloud.wait(instance, state)
    assert response["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_security_groups_decide_the_open_ports_also_later(cloud: Any) -> None:
    group = cloud.ec2.create_security_group(GroupName="web", Description="web")["GroupId"]

    def rule(first: int, last: int) -> dict[str, Any]:
        return {"IpProtocol": "tcp", "FromPort": first, "ToPort": last, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}

    cloud.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule(22, 22)])
    instance = cloud.run(SecurityGroupIds=[group])
    cloud.wait(instance, "running")
    (machine,) = cloud.driver.launched(instance)
    assert machine.ports == {22}
    cloud.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule(8080, 8081)])
    eventually(lambda: machine.ports == {22, 8080, 8081})
    cloud.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule(22, 22)])
    eventually(lambda: machine.ports == {8080, 8081})
    cloud.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule(1, 1024)])
    eventually(lambda: machine.ports == {22, 80, 443, 8080, 8081})


def test_the_default_group_lets_nobody_in_from_outside(cloud: Any) -> None:
    instance = cloud.run()
    cloud.wait(instance, "running")
    assert cloud.driver.launched(instance)[0].ports == frozenset()


def test_console_output_is_the_machine_s(cloud: Any) -> None:
    instance = cloud.run()
    cloud.wait(instance, "running")
    assert cloud.ec2.get_console_output(InstanceId=instance)["Output"] == "\x1b[0mbooted 한\n"


def test_states_that_forbid_an_action(cloud: Any) -> None:
    instance = cloud.run()
    cloud.wait(instance, "running")
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    for action in (cloud.ec2.stop_instances, cloud.ec2.start_instances, cloud.ec2.reboot_instances):
        with raises("IncorrectInstanceState"):
            action(InstanceIds=[instance])
    cloud.ec2.terminate_instances(InstanceIds=[instance])  # again: as EC2, no error


def test_a_launch_template_s_metadata_options_profile_and_disk_arrive(cloud: Any) -> None:
    cloud.iam.create_role(RoleName="app", AssumeRolePolicyDocument="{}")
    cloud.iam.create_instance_profile(InstanceProfileName="app")
    cloud.iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
    cloud.ec2.create_launch_template(
        LaunchTemplateName="fleet",
        LaunchTemplateData={
            "ImageId": cloud.public_ami(),
            "InstanceType": "t3.micro",
            "MetadataOptions": {"HttpTokens": "required"},
            "IamInstanceProfile": {"Name": "app"},
        },
    )
    launched = cloud.ec2.run_instances(LaunchTemplate={"LaunchTemplateName": "fleet"}, MinCount=1, MaxCount=1)
    response = cloud.wait(launched["Instances"][0]["InstanceId"], "running")
    assert response["MetadataOptions"]["HttpTokens"] == "required"
    assert response["IamInstanceProfile"]["Arn"].endswith("/app")
    assert len(response["BlockDeviceMappings"]) == 1
    assert list(cloud.folder.volumes.iterdir()) == [cloud.volume(response["InstanceId"])]
