"""Auto Scaling groups keep their size with real machines of their own template version."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.support.cloud_server import eventually


def refused(code: str, text: str = "") -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{text}")


def test_members_are_launched_from_the_version_that_the_group_names(town: Any) -> None:
    user_data = base64.b64encode(b"#!/bin/sh\n").decode()
    first = town.template(
        town.public_ami(), UserData=user_data, MetadataOptions={"HttpTokens": "required"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}],
    )  # fmt: skip
    ami = town.bake("v2")
    named = {**first, "Version": town.version(ami)["Version"]}
    tags = [
        {"Key": "Team", "Value": "a", "PropagateAtLaunch": True},
        {"Key": "Other", "Value": "b", "PropagateAtLaunch": False},
    ]
    town.make_group(named, 2, Tags=tags)
    for instance_id in town.in_service(2):
        told = town.instance(instance_id)
        assert (told["ImageId"], told["MetadataOptions"]["HttpTokens"]) == (ami, "required")
        known = {tag["Key"]: tag["Value"] for tag in told["Tags"]}
        assert {"Name": "web", "Team": "a", "aws:autoscaling:groupName": "web"}.items() <= known.items()
        assert (known["aws:ec2launchtemplate:version"], "Other" in known) == ("2", False)
        assert len(told["BlockDeviceMappings"]) == 1
        assert town.machine(instance_id).serves == "v2"
    assert {one["LaunchTemplate"]["Version"] for one in town.group()["Instances"]} == {"2"}
    assert town.group()["HealthCheckGracePeriod"] == 0


def test_a_lost_member_is_replaced_and_activities_tell(town: Any) -> None:
    town.make_group(town.template(town.public_ami()), 2)
    first, second = town.in_service(2)
    town.ec2.terminate_instances(InstanceIds=[first])
    eventually(lambda: len(town.members("InService")) == 2 and first not in town.members())
    assert second in town.members()
    told = town.autoscaling.describe_scaling_activities(AutoScalingGroupName="web")["Activities"]
    assert [one["StatusCode"] for one in told] == ["Successful"] * 4
    gone = next(one for one in told if one["Description"].startswith("Terminating"))
    assert "EC2 health check indicating it has been terminated or stopped" in gone["Cause"]


def test_a_member_that_powers_off_is_replaced(town: Any) -> None:
    town.make_group(town.template(town.public_ami()), 1)
    (first,) = town.in_service(1)
    town.machine(first).kill()
    eventually(lambda: town.members("InService") and first not in town.members())
    town.wait(first, "terminated")


def test_scaling_in_and_out_and_its_limits(town: Any) -> None:
    town.make_group(town.template(town.public_ami()), 1)
    (oldest,) = town.in_service(1)
    town.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=3)
    town.in_service(3)
    town.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=1)
    assert town.in_service(1) != [oldest]
    with refused("ValidationError", "above max value 4"):
        town.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=5)
    with refused("ValidationError", "not found"):
        town.autoscaling.set_desired_capacity(AutoScalingGroupName="other", DesiredCapacity=1)
    with refused("AlreadyExists"):
        town.make_group({"LaunchTemplateName": "web", "Version": "1"}, 1)


def test_set_instance_health_respects_the_grace_period_unless_told_otherwise(town: Any) -> None:
    town.make_group(town.template(town.public_ami()), 1, HealthCheckGracePeriod=600)
    (first,) = town.in_service(1)
    town.autoscaling.set_instance_health(InstanceId=first, HealthStatus="Unhealthy")
    assert town.group()["Instances"][0]["HealthStatus"] == "Healthy"
    town.autoscaling.set_instance_health(InstanceId=first, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    eventually(lambda: town.members("InService") and first not in town.members())


def test_suspended_processes_do_not_happen(town: Any) -> None:
    town.make_group(town.template(town.public_ami()), 1)
    (first,) = town.in_service(1)
    town.autoscaling.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["Launch"])
    town.autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=first, ShouldDecrementDesiredCapacity=False)
    eventually(lambda: not town.members())
    assert town.group()["SuspendedProcesses"][0]["ProcessName"] == "Launch"
    town.autoscaling.resume_processes(AutoScalingGroupName="web")
    town.in_service(1)


def test_failed_launches_are_told_and_tried_again(town: Any) -> None:
    town.server.cloud.faults.add({"kind": "failed_launch", "times": 1})
    town.make_group(town.template(town.public_ami()), 1)
    town.in_service(1)
    told = town.autoscaling.describe_scaling_activities(AutoScalingGroupName="web")["Activities"]
    assert [one["StatusCode"] for one in told] == ["Successful", "Failed"]
    assert "Launching EC2 instance failed" in told[1]["StatusMessage"]


def test_a_template_that_cannot_launch_is_refused(town: Any) -> None:
    ami = town.bake("v1")
    named = town.template(ami)
    town.ec2.deregister_image(ImageId=ami)
    with refused("ValidationError", "fully-formed launch template"):
        town.make_group(named, 1)
    with refused("ValidationError", "launch template"):
        town.make_group({"LaunchTemplateId": "lt-0123456789abcdef0", "Version": "1"}, 1)


def test_groups_go_with_force_only(town: Any) -> None:
    town.make_group(town.template(town.public_ami()), 1)
    (first,) = town.in_service(1)
    with refused("ResourceInUse"):
        town.autoscaling.delete_auto_scaling_group(AutoScalingGroupName="web")
    town.autoscaling.delete_auto_scaling_group(AutoScalingGroupName="web", ForceDelete=True)
    eventually(lambda: not town.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"])
    town.wait(first, "terminated")


def test_a_restarted_cloud_keeps_the_same_members(town: Any) -> None:
    town.make_group(town.template(town.public_ami()), 2)
    before = set(town.in_service(2))
    town.restart()
    eventually(lambda: all(town.instance(one)["State"]["Name"] == "running" for one in before))
    assert set(town.in_service(2)) == before
    town.ec2.terminate_instances(InstanceIds=[before.pop()])
    eventually(lambda: before < set(town.members("InService")) and len(town.members()) == 2)


def test_protected_attached_and_detached_members(town: Any) -> None:
    town.make_group(town.template(town.public_ami()), 1, NewInstancesProtectedFromScaleIn=True)
    (first,) = town.in_service(1)
    other = town.run()
    town.wait(other, "running")
    town.autoscaling.attach_instances(AutoScalingGroupName="web", InstanceIds=[other])
    assert set(town.in_service(2)) == {first, other}
    town.autoscaling.detach_instances(
        AutoScalingGroupName="web", InstanceIds=[other], ShouldDecrementDesiredCapacity=True
    )
    assert town.in_service(1) == [first]
    assert town.instance(other)["State"]["Name"] == "running"
    town.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=0)
    town.autoscaling.set_instance_protection(
        AutoScalingGroupName="web", InstanceIds=[first], ProtectedFromScaleIn=False
    )
    eventually(lambda: not town.members())


def test_a_maintenance_policy_replaces_the_unhealthy_before_they_go(town: Any) -> None:
    policy = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200}
    town.make_group(town.template(town.public_ami()), 1, InstanceMaintenancePolicy=policy)
    (first,) = town.in_service(1)
    assert town.group()["InstanceMaintenancePolicy"] == policy
    town.autoscaling.set_instance_health(InstanceId=first, HealthStatus="Unhealthy")
    seen = set()

    def replaced() -> bool:
        seen.add(len(town.members("InService")))
        return first not in town.members()

    eventually(replaced)
    assert 0 not in seen
    town.in_service(1)


def test_an_image_named_by_a_parameter_is_looked_up_at_each_launch(town: Any) -> None:
    first, second = town.bake("v1"), town.bake("v2")
    town.ssm.put_parameter(Name="/app/image", Value=first, Type="String")
    town.make_group(town.template("resolve:ssm:/app/image"), 1)
    (old,) = town.in_service(1)
    assert town.instance(old)["ImageId"] == first
    town.ssm.put_parameter(Name="/app/image", Value=second, Type="String", Overwrite=True)
    town.autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=old, ShouldDecrementDesiredCapacity=False)
    eventually(lambda: old not in town.members() and town.members("InService"))
    assert town.instance(town.members()[0])["ImageId"] == second


def test_faults_reach_every_action(town: Any) -> None:
    town.make_group(town.template(town.public_ami()), 1)
    town.server.cloud.faults.add({"kind": "throttle", "action": "SetDesiredCapacity"})
    with refused("Throttling"):
        town.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=2)
    town.server.cloud.faults.add({"kind": "lost_reply", "action": "SetDesiredCapacity"})
    with pytest.raises(ConnectionClosedError):
        town.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=2)
    town.in_service(2)
    town.server.cloud.faults.add({"kind": "error500", "action": "DescribeTargetHealth"})
    with refused("InternalError"):
        town.elbv2.describe_target_health(TargetGroupArn="arn")
