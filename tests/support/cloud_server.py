"""A local cloud in the test's process with machines in memory, and the calls that API tests share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from localcloud.core.cloud import REGION
from localcloud.server.app import LocalCloudServer
from localcloud.state_dir import StateDir
from tests.support.memory_machines import MemoryDriver, make_base

KEYS = ("AKIATESTTESTTESTTEST", "test")  # the owner's access key of clouds in tests


def client(endpoint: str, service: str, attempts: int = 1, keys: tuple[str, str] = KEYS, region: str = REGION) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        config=Config(retries={"total_max_attempts": attempts}, proxies={}),
    )


def eventually(condition: Callable[[], Any], seconds: float = 5) -> Any:
    """Wait until the condition returns a true value, and return that value."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "did not become true in time"
        time.sleep(0.01)
    return result


def head(path: Path, size: int = 10) -> bytes:
    """Return the first bytes of a (large, sparse) disk."""
    with path.open("rb") as disk:
        return disk.read(size)


class CloudHarness:
    """A running server that can be restarted on its state folder, and the calls that most tests need."""

    driver_type = MemoryDriver

    def __init__(self, root: Path) -> None:
        self.folder = StateDir(root / "state")
        self.folder.prepare()
        self.own()
        self.base = make_base(root / "cache")
        self.start()

    def own(self) -> None:
        """Give the cloud the owner's access key that tests sign with."""
        self.folder.owner_file.write_text(json.dumps({"access_key": KEYS[0], "secret_key": KEYS[1]}))

    def start(self) -> None:
        self.driver = self.driver_type()
        self.server = LocalCloudServer(self.folder, self.driver, self.base)
        self.server.start()
        for service in ("ec2", "ssm", "s3", "iam", "autoscaling", "elbv2"):
            setattr(self, service, client(self.server.endpoint, service))

    def restart(self) -> None:
        self.server.stop()
        self.start()

    def public_ami(self) -> str:
        name = "/aws/service/debian/release/12/latest/amd64"
        return str(self.ssm.get_parameter(Name=name)["Parameter"]["Value"])

    def run(self, **options: Any) -> str:
        parameters = {"ImageId": options.get("ImageId") or self.public_ami(), "InstanceType": "t3.micro", **options}
        reservation = self.ec2.run_instances(MinCount=1, MaxCount=1, **parameters)
        return str(reservation["Instances"][0]["InstanceId"])

    def instance(self, instance_id: str) -> Any:
        return self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]

    def wait(self, instance_id: str, state: str) -> Any:
        eventually(lambda: self.instance(instance_id)["State"]["Name"] == state)
        return self.instance(instance_id)

    def image(self, ami: str) -> Any:
        return self.ec2.describe_images(ImageIds=[ami])["Images"][0]

    def wait_image(self, ami: str, state: str = "available") -> Any:
        eventually(lambda: self.image(ami)["State"] == state)
        return self.image(ami)

    def volume(self, instance_id: str) -> Path:
        device = self.instance(instance_id)["BlockDeviceMappings"][0]
        return self.folder.volume(device["Ebs"]["VolumeId"])

    def snapshot(self, ami: str) -> Path:
        return self.folder.snapshot(self.image(ami)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])
