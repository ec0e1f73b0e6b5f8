"""Auto Scaling groups keep their size with real machines of their own template version."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.support.cloud_server import eventually


def raises(code: str, text: str = "") -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{text}")


def test_members_are_launched_from_the_version_that_the_group_names(fleet_cloud: Any) -> None:
    user_data = base64.b64encode(b"#!/bin/sh\n").decode()
    first = fleet_cloud.template(
        fleet_cloud.public_ami(), UserData=user_data, MetadataOptions={"HttpTokens": "required"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}],
    )  # fmt: skip
    ami = fleet_cloud.bake("v2")
    named = {**first, "Version": fleet_cloud.version(ami)["Version"]}
    tags = [
        {"Key": "Team", "Value": "a", "PropagateAtLaunch": True},
        {"Key": "Other", "Value": "b", "PropagateAtLaunch": False},
    ]
    fleet_cloud.make_group(named, 2, Tags=tags)
    for instance_id in fleet_cloud.in_service(2):
        response = fleet_cloud.instance(instance_id)
        assert (response["ImageId"], response["MetadataOptions"]["HttpTokens"]) == (ami, "required")
        known = {tag["Key"]: tag["Value"] for tag in response["Tags"]}
        assert {"Name": "web", "Team": "a", "aws:autoscaling:groupName": "web"}.items() <= known.items()
        assert (known["aws:ec2launchtemplate:version"], "Other" in known) == ("2", False)
        assert len(response["BlockDeviceMappings"]) == 1
        assert fleet_cloud.machine(instance_id).serves == "v2"
    assert {one["LaunchTemplate"]["Version"] for one in fleet_cloud.group()["Instances"]} == {"2"}
    assert fleet_cloud.group()["HealthCheckGracePeriod"] == 0


def test_a_lost_member_is_replaced_and_activities_tell(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.public_ami()), 2)
    first, second = fleet_cloud.in_service(2)
    fleet_cloud.ec2.terminate_instances(InstanceIds=[first])
    eventually(lambda: len(fleet_cloud.members("InService")) == 2 and first not in fleet_cloud.members())
    assert second in fleet_cloud.members()
    response = fleet_cloud.autoscaling.describe_scaling_activities(AutoScalingGroupName="web")["Activities"]
    assert [one["StatusCode"] for one in response] == ["Successful"] * 4
    deleted = next(one for one in response if one["Description"].startswith("Terminating"))
    assert "EC2 health check indicating it has been terminated or stopped" in deleted["Cause"]


def test_a_member_that_powers_off_is_replaced(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.public_ami()), 1)
    (first,) = fleet_cloud.in_service(1)
    fleet_cloud.machine(first).kill()
    eventually(lambda: fleet_cloud.members("InService") and first not in fleet_cloud.members())
    fleet_cloud.wait(first, "terminated")


def test_scaling_in_and_out_and_its_limits(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.public_ami()), 1)
    (oldest,) = fleet_cloud.in_service(1)
    fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=3)
    fleet_cloud.in_service(3)
    fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=1)
    assert fleet_cloud.in_service(1) != [oldest]
    with raises("ValidationError", "above max value 4"):
        fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=5)
    with raises("ValidationError", "not found"):
        fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="other", DesiredCapacity=1)
    with raises("AlreadyExists"):
        fleet_cloud.make_group({"LaunchTemplateName": "web", "Version": "1"}, 1)


def test_set_instance_health_respects_the_grace_period_unless_told_otherwise(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.public_ami()), 1, HealthCheckGracePeriod=600)
    (first,) = fleet_cloud.in_service(1)
    fleet_cloud.autoscaling.set_instance_health(InstanceId=first, HealthStatus="Unhealthy")
    assert fleet_cloud.group()["Instances"][0]["HealthStatus"] == "Healthy"
    fleet_cloud.autoscaling.set_instance_health(
        InstanceId=first, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False
    )
    eventually(lambda: fleet_cloud.members("InService") and first not in fleet_cloud.members())


def test_suspended_processes_do_not_happen(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.public_ami()), 1)
    (first,) = fleet_cloud.in_service(1)
    fleet_cloud.autoscaling.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["Launch"])
    fleet_cloud.autoscaling.terminate_instance_in_auto_scaling_group(
        InstanceId=first, ShouldDecrementDesiredCapacity=False
    )
    eventually(lambda: not fleet_cloud.members())
    assert fleet_cloud.group()["SuspendedProcesses"][0]["ProcessName"] == "Launch"
    fleet_cloud.autoscaling.resume_processes(AutoScalingGroupName="web")
    fleet_cloud.in_service(1)


def test_failed_launches_are_told_and_tried_again(fleet_cloud: Any) -> None:
    fleet_cloud.server.cloud.faults.add({"kind": "failed_launch", "times": 1})
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.public_ami()), 1)
    fleet_cloud.in_service(1)
    response = fleet_cloud.autoscaling.describe_scaling_activities(AutoScalingGroupName="web")["Activities"]
    assert [one["StatusCode"] for one in response] == ["Successful", "Failed"]
    assert "Launching EC2 instance failed" in response[1]["StatusMessage"]


def test_a_template_that_cannot_launch_is_refused(fleet_cloud: Any) -> None:
    ami = fleet_cloud.bake("v1")
    named = fleet_cloud.template(ami)
    fleet_cloud.ec2.deregister_image(ImageId=ami)
    with raises("ValidationError", "fully-formed launch template"):
        fleet_cloud.make_group(named, 1)
    with raises("ValidationError", "launch template"):
        fleet_cloud.make_group({"LaunchTemplateId": "lt-0123456789abcdef0", "Version": "1"}, 1)


def test_groups_go_with_force_only(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.public_ami()), 1)
    (first,) = fleet_cloud.in_service(1)
    with raises("ResourceInUse"):
        fleet_cloud.autoscaling.delete_auto_scaling_group(AutoScalingGroupName="web")
    fleet_cloud.autoscaling.delete_auto_scaling_group(AutoScalingGroupName="web", ForceDelete=True)
    eventually(lambda: not fleet_cloud.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"])
    fleet_cloud.wait(first, "terminated")


def test_a_restarted_cloud_keeps_the_same_members(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.public_ami()), 2)
    before = set(fleet_cloud.in_service(2))
    fleet_cloud.restart()
    eventually(lambda: all(fleet_cloud.instance(one)["State"]["Name"] == "running" for one in before))
    assert set(fleet_cloud.in_service(2)) == before
    fleet_cloud.ec2.terminate_instances(InstanceIds=[before.pop()])
    eventually(lambda: before < set(fleet_cloud.members("InService")) and len(fleet_cloud.members()) == 2)


def test_protected_attached_and_detached_members(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.public_ami()), 1, NewInstancesProtectedFromScaleIn=True)
    (first,) = fleet_cloud.in_service(1)
    other = fleet_cloud.run()
    fleet_cloud.wait(other, "running")
    fleet_cloud.autoscaling.attach_instances(AutoScalingGroupName="web", InstanceIds=[other])
    assert set(fleet_cloud.in_service(2)) == {first, other}
    fleet_cloud.autoscaling.detach_instances(
        AutoScalingGroupName="web", InstanceIds=[other], ShouldDecrementDesiredCapacity=True
    )
    assert fleet_cloud.in_service(1) == [first]
    assert fleet_cloud.instance(other)["State"]["Name"] == "running"
    fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=0)
    fleet_cloud.autoscaling.set_instance_protection(
        AutoScalingGroupName="web", InstanceIds=[first], ProtectedFromScaleIn=False
    )
    eventually(lambda: not fleet_cloud.members())


def test_a_maintenance_policy_replaces_the_unhealthy_before_they_go(fleet_cloud: Any) -> None:
    policy = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200}
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.public_ami()), 1, InstanceMaintenancePolicy=policy)
    (first,) = fleet_cloud.in_service(1)
    assert fleet_cloud.group()["InstanceMaintenancePolicy"] == policy
    fleet_cloud.autoscaling.set_instance_health(InstanceId=first, HealthStatus="Unhealthy")
    observed = set()

    def replaced() -> bool:
        observed.add(len(fleet_cloud.members("InService")))
        return first not in fleet_cloud.members()

    eventually(replaced)
    assert 0 not in observed
    fleet_cloud.in_service(1)


def test_an_image_named_by_a_parameter_is_looked_up_at_each_launch(fleet_cloud: Any) -> None:
    first, second = fleet_cloud.bake("v1"), fleet_cloud.bake("v2")
    fleet_cloud.ssm.put_parameter(Name="/app/image", Value=first, Type="String")
    fleet_cloud.make_group(fleet_cloud.template("resolve:ssm:/app/image"), 1)
    (old,) = fleet_cloud.in_service(1)
    assert fleet_cloud.instance(old)["ImageId"] == first
    fleet_cloud.ssm.put_parameter(Name="/app/image", Value=second, Type="String", Overwrite=True)
    fleet_cloud.autoscaling.terminate_instance_in_auto_scaling_group(
        InstanceId=old, ShouldDecrementDesiredCapacity=False
    )
    eventually(lambda: old not in fleet_cloud.members() and fleet_cloud.members("InService"))
    assert fleet_cloud.instance(fleet_cloud.members()[0])["ImageId"] == second


def test_faults_reach_every_action(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.public_ami()), 1)
    fleet_cloud.server.cloud.faults.add({"kind": "throttle", "action": "SetDesiredCapacity"})
    with raises("Throttling"):
        fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=2)
    fleet_cloud.server.cloud.faults.add({"kind": "lost_reply", "action": "SetDesiredCapacity"})
    with pytest.raises(ConnectionClosedError):
        fleet_cloud.autoscaling.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=2)
    fleet_cloud.in_service(2)
    fleet_cloud.server.cloud.faults.add({"kind": "error500", "action": "DescribeTargetHealth"})
    with raises("InternalError"):
        fleet_cloud.elbv2.describe_target_health(TargetGroupArn="arn")
