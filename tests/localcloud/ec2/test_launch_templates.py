"""Launch templates and the groups that launch from them."""

from __future__ import annotations

import base64
from typing import Any

from tests.support.cloud_server import client, eventually


def test_a_version_is_built_on_its_source_and_a_group_launches_it(cloud: Any) -> None:
    user_data = base64.b64encode(b"#!/bin/sh\n").decode()
    data = {"ImageId": cloud.public_ami(), "InstanceType": "t3.micro", "UserData": user_data}
    template = cloud.ec2.create_launch_template(LaunchTemplateName="web", LaunchTemplateData=data)
    named = {"LaunchTemplateId": template["LaunchTemplate"]["LaunchTemplateId"]}
    changed = {"InstanceType": "t3.small", "UserData": user_data}
    cloud.ec2.create_launch_template_version(**named, SourceVersion="1", LaunchTemplateData=changed)
    (version,) = cloud.ec2.describe_launch_template_versions(**named, Versions=["2"])["LaunchTemplateVersions"]
    assert version["LaunchTemplateData"]["ImageId"] == data["ImageId"]

    autoscaling = client(cloud.server.endpoint, "autoscaling")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        MinSize=0,
        MaxSize=2,
        DesiredCapacity=2,
        LaunchTemplate={**named, "Version": "2"},
        AvailabilityZones=["ap-northeast-2a"],
    )
    members = eventually(lambda: autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"])
    response = [cloud.wait(member["InstanceId"], "running") for member in members]
    assert len({one["PublicIpAddress"] for one in response}) == 2
    assert {one["PrivateDnsName"].partition(".")[2] for one in response} == {"ap-northeast-2.compute.internal"}
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName="web", ForceDelete=True)
    eventually(lambda: not list(cloud.folder.volumes.iterdir()))
    assert cloud.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
