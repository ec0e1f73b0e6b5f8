"""A fleet that serves an application, and unhealthy variants of its image that pass the gates of a bake."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.workspace import Workspace

# Recipe settings with short timeouts.
FAST_SETTINGS = {
    "health_check_grace_period = 300": "health_check_grace_period = 30\ninstance_warmup = 20",
    "desired = 1\n": "desired = 1\nderegistration_delay = 2\n",
    "watch_seconds = 300": "watch_seconds = 5",
    "[promote]": "[fleet.health_check]\ninterval = 5\ntimeout = 2\n\n[promote]",
}

_DROP_IN = "/etc/systemd/system/guestbook.service.d"


def _unit(*lines: str) -> str:
    words = " ".join(f"'{line}'" for line in ("[Service]", *lines))
    return f"mkdir -p {_DROP_IN}\nprintf '%s\\n' {words} > {_DROP_IN}/variant.conf\n"


# Scripts that turn an instance of the good image into a variant.
VARIANTS = {
    "healthy": "touch /etc/healthy\n",
    "does not boot": "install -m 0755 /bin/false /usr/lib/systemd/new\nmv /usr/lib/systemd/new /usr/lib/systemd/systemd\n",
    "unit fails": _unit("ExecStart=", "ExecStart=/bin/false"),
    "health 503": _unit("Environment=TINY_STATUS=503"),
    "crashes": _unit("Environment=TINY_CRASH=20s"),
    "slow": _unit("Environment=TINY_SLOW=10m"),
}


@dataclass
class Service:
    """A workspace with a fleet."""

    ctx: Workspace
    good: str
    address: str
    clients: dict[str, Any] = field(default_factory=dict)
    machines: dict[str, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)

    def client(self, name: str) -> Any:
        if name not in self.clients:
            self.clients[name] = self.ctx.client(name)
        return self.clients[name]

    def image(self, kind: str, *, verified: bool = True) -> str:
        """Create a variant of the good image (see VARIANTS) without a bake."""
        ec2 = self.client("ec2")
        machine = self.machines.get(kind) or self._machine(kind)
        number = int(10 * time.time()) % 10**8  # unique among the test modules
        version, name = f"9.{number}.0", f"guestbook-golden-v9.{number}"
        tags = {t["Key"]: t["Value"] for t in ec2.describe_images(ImageIds=[self.good])["Images"][0]["Tags"]}
        tags |= {"Name": name, "Version": version}
        if not verified:
            del tags["goldenami:verified"]
        image = ec2.create_image(InstanceId=machine, Name=name)["ImageId"]
        self.made.append(image)
        ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
        ec2.create_tags(Resources=[image], Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
        return str(image)

    def _machine(self, kind: str) -> str:
        """Launch an instance of the good image, apply the variant's script and stop it; reused for each image of the variant."""
        ec2 = self.client("ec2")
        script = f"#!/bin/bash\nset -e\n{VARIANTS[kind]}sync\nsystemctl poweroff\n"
        launched = ec2.run_instances(
            ImageId=self.good, InstanceType="t3.micro", MinCount=1, MaxCount=1, UserData=script
        )
        machine = launched["Instances"][0]["InstanceId"]
        deadline = time.monotonic() + 120
        while (state := self._state(machine)) != "stopped":  # EC2's waiter fails on `pending`
            assert time.monotonic() < deadline, state
            time.sleep(0.5)
        self.machines[kind] = machine
        return str(machine)

    def clean_up(self) -> None:
        """Delete the images and instances of the variants, and the production parameter."""
        ec2 = self.client("ec2")
        if machines := list(self.machines.values()):
            ec2.terminate_instances(InstanceIds=machines)
            ec2.get_waiter("instance_terminated").wait(InstanceIds=machines, WaiterConfig={"Delay": 1})
        for image in ec2.describe_images(ImageIds=self.made)["Images"] if self.made else []:
            ec2.deregister_image(ImageId=image["ImageId"])
            for disk in image["BlockDeviceMappings"]:
                ec2.delete_snapshot(SnapshotId=disk["Ebs"]["SnapshotId"])
        self.client("ssm").delete_parameter(Name="/goldenami/guestbook/production")

    def _state(self, machine: str) -> str:
        instance = self.client("ec2").describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
        return str(instance["State"]["Name"])

    def production_ami(self) -> str:
        found = self.client("ssm").get_parameter(Name="/goldenami/guestbook/production")
        return str(found["Parameter"]["Value"])

    def template(self) -> dict[str, Any]:
        found = self.client("ec2").describe_launch_templates(LaunchTemplateNames=["guestbook-template"])
        template: dict[str, Any] = found["LaunchTemplates"][0]
        return template

    def versions(self) -> list[str]:
        """Return the AMI of each launch template version, oldest first."""
        pages = self.client("ec2").get_paginator("describe_launch_template_versions")
        found = [
            v
            for page in pages.paginate(LaunchTemplateName="guestbook-template")
            for v in page["LaunchTemplateVersions"]
        ]
        return [v["LaunchTemplateData"]["ImageId"] for v in sorted(found, key=lambda v: v["VersionNumber"])]

    def refreshes(self) -> list[dict[str, Any]]:
        found = self.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName="guestbook-asg")
        refreshes: list[dict[str, Any]] = found["InstanceRefreshes"]
        return refreshes

    def running_amis(self) -> list[str]:
        """Return the AMI of each instance; fails unless all are healthy and in service."""
        found = self.status()["instances"]
        assert all(i["lifecycle"] == "InService" and i["target"] == "healthy" for i in found), found
        return [i["image"] for i in found]

    def status(self) -> dict[str, Any]:
        done = self.ctx.invoke("status", "--json")
        assert done.returncode in (0, 8, 9), done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def resize(self, desired: int) -> None:
        """Set the group's size and wait until all instances are healthy."""
        self.client("autoscaling").set_desired_capacity(AutoScalingGroupName="guestbook-asg", DesiredCapacity=desired)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            found = self.status()["instances"]
            if len(found) == desired and all(i["target"] == "healthy" for i in found):
                return
            time.sleep(1)
        raise AssertionError(f"the group has not {desired} healthy instances: {found}")


def command(service: Service, instance: str, script: str, timeout: float = 180) -> str:
    """Run a script on an instance and return its output."""
    ssm = service.client("ssm")
    sent = ssm.send_command(
        InstanceIds=[instance], DocumentName="AWS-RunShellScript", Parameters={"commands": [script]}
    )["Command"]["CommandId"]
    deadline = time.monotonic() + timeout
    while True:
        found = ssm.list_command_invocations(CommandId=sent, InstanceId=instance)["CommandInvocations"]
        if found and found[0]["Status"] not in ("Pending", "InProgress"):
            invocation = ssm.get_command_invocation(CommandId=sent, InstanceId=instance)
            assert invocation["Status"] == "Success", invocation
            return str(invocation["StandardOutputContent"]).strip()
        assert time.monotonic() < deadline
        time.sleep(0.2)
