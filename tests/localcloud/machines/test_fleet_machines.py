"""A group of real machines behind a real balancer: visitors notice nothing while its members are replaced."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.machines.cleanup import reap
from localcloud.machines.container import driver
from localcloud.server.app import LocalCloudServer
from localcloud.state_dir import StateDir, default_cache_dir
from localcloud.storage import base_image
from tests.support.cloud_fleet import PORT, FleetCloud, TrafficGenerator
from tests.support.cloud_server import client, eventually

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.skipif(
        driver.unavailable_reason() is not None, reason=f"no containers here: {driver.unavailable_reason()}"
    ),
]
WEB = """#!/bin/sh
exec systemd-run --quiet --unit=web perl -MIO::Socket::INET -e '
  $listener = IO::Socket::INET->new(LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die;
  while ($client = $listener->accept) {
    while (<$client>) { last if /^\\r?$/ }
    print $client "HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nVERSION";
    close $client;
  }'
"""


class MachineFleetCloud(FleetCloud):
    """The same, with containers for machines."""

    def __init__(self, root: Path) -> None:
        self.folder = StateDir(root / "state")
        self.folder.prepare()
        self.own()
        self.base = base_image.ensure_base_image(default_cache_dir(), print)  # type: ignore[assignment]
        self.start()

    def start(self) -> None:
        self.server = LocalCloudServer(self.folder, driver.ContainerDriver(), self.base)
        self.server.start()
        for service in ("ec2", "ssm", "iam", "autoscaling", "elbv2"):
            setattr(self, service, client(self.server.endpoint, service))


@pytest.fixture
def machine_cloud(tmp_path: Path) -> Iterator[MachineFleetCloud]:
    fleet_cloud = MachineFleetCloud(tmp_path)
    yield fleet_cloud
    fleet_cloud.server.stop()
    assert reap(fleet_cloud.folder.machines) == []


def user_data(version: str) -> str:
    return base64.b64encode(WEB.replace("VERSION", version).encode()).decode()


def profile(fleet_cloud: FleetCloud) -> dict[str, str]:
    allow = {"Effect": "Allow", "Action": "ssm:UpdateInstanceInformation", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    fleet_cloud.iam.create_role(RoleName="web", AssumeRolePolicyDocument="{}")
    fleet_cloud.iam.put_role_policy(RoleName="web", PolicyName="agent", PolicyDocument=document)
    fleet_cloud.iam.create_instance_profile(InstanceProfileName="web")
    fleet_cloud.iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    return {"Name": "web"}


def test_real_members_are_replaced_without_a_failed_request(machine_cloud: MachineFleetCloud) -> None:
    arn = machine_cloud.make_balancer(delay=1)
    vpc = machine_cloud.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    web = machine_cloud.ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    machine_cloud.ec2.authorize_security_group_ingress(
        GroupId=web, IpProtocol="tcp", FromPort=PORT, ToPort=PORT, CidrIp="0.0.0.0/0"
    )
    first = machine_cloud.template(
        machine_cloud.public_ami(),
        SecurityGroupIds=[web],
        UserData=user_data("v1"),
        IamInstanceProfile=profile(machine_cloud),
    )
    machine_cloud.make_group(first, 2, TargetGroupARNs=[arn], HealthCheckType="ELB", HealthCheckGracePeriod=60)
    old = machine_cloud.in_service(2, 60)
    eventually(lambda: list(machine_cloud.health(arn).values()) == ["healthy"] * 2, 60)
    with TrafficGenerator(machine_cloud.address) as visitors:
        machine_cloud.autoscaling.terminate_instance_in_auto_scaling_group(
            InstanceId=old[0], ShouldDecrementDesiredCapacity=False
        )
        eventually(lambda: old[0] not in machine_cloud.members() and len(machine_cloud.members("InService")) == 2, 60)
        eventually(lambda: list(machine_cloud.health(arn).values()) == ["healthy"] * 2, 60)
        created = machine_cloud.ec2.create_launch_template_version(
            LaunchTemplateName="web", SourceVersion="1", LaunchTemplateData={"UserData": user_data("v2")}
        )["LaunchTemplateVersion"]
        machine_cloud.autoscaling.start_instance_refresh(
            AutoScalingGroupName="web",
            DesiredConfiguration={"LaunchTemplate": {**first, "Version": str(created["VersionNumber"])}},
            Preferences={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200, "InstanceWarmup": 0},
        )

        def status() -> Any:
            response = machine_cloud.autoscaling.describe_instance_refreshes(AutoScalingGroupName="web")
            return response["InstanceRefreshes"][0]["Status"]

        eventually(lambda: status() == "Successful", 120)
    assert visitors.failures == []
    assert (visitors.served[0], visitors.served[-1]) == ("v1", "v2")
    assert machine_cloud.get() == (200, "v2")

    (instance, _) = machine_cloud.members("InService")
    eventually(lambda: machine_cloud.ssm.describe_instance_information()["InstanceInformationList"], 30)
    command = machine_cloud.ssm.send_command(
        DocumentName="AWS-RunShellScript",
        InstanceIds=[instance],
        Parameters={"commands": ["id -un; systemctl is-active web; echo $AWS_ENDPOINT_URL; exit 3"]},
    )["Command"]["CommandId"]

    def ended() -> Any:
        response = machine_cloud.ssm.get_command_invocation(CommandId=command, InstanceId=instance)
        return response if response["Status"] not in ("Pending", "InProgress") else None

    response = eventually(ended, 30)
    assert response["StandardOutputContent"] == "root\nactive\nhttp://169.254.169.250\n"
    assert (response["Status"], response["ResponseCode"]) == ("Failed", 3)
