"""The real Packer's amazon-ebs builder, start to end, on machines in memory (so without a communicator)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.cloud_server import KEYS

TEMPLATE = """
variable "endpoint" { type = string }
variable "source_ami" { type = string }
source "amazon-ebs" "golden" {
  custom_endpoint_ec2     = var.endpoint
  region                  = "ap-northeast-2"
  skip_region_validation  = true
  skip_metadata_api_check = true
  ami_name                = "golden"
  ami_description         = "baked by a test"
  source_ami              = var.source_ami
  instance_type           = "t3.micro"
  communicator            = "none"
  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 8
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    encrypted             = true
    delete_on_termination = true
  }
  tags            = { Name = "golden" }
  snapshot_tags   = { Name = "golden root" }
  run_tags        = { Name = "builder" }
  run_volume_tags = { Name = "builder root" }
}
build {
  sources = ["source.amazon-ebs.golden"]
  post-processor "manifest" {}
}
"""


@pytest.mark.skipif(not shutil.which("packer"), reason="packer is not installed")
def test_packer_bakes_and_leaves_nothing_behind(cloud: Any, tmp_path: Path) -> None:
    (tmp_path / "golden.pkr.hcl").write_text(TEMPLATE)
    done = subprocess.run(
        [
            "packer",
            "build",
            "-color=false",
            f"-var=endpoint={cloud.server.endpoint}",
            f"-var=source_ami={cloud.public_ami()}",
            "golden.pkr.hcl",
        ],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
            "AWS_POLL_DELAY_SECONDS": "1",
            "CHECKPOINT_DISABLE": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((tmp_path / "packer-manifest.json").read_text())
    region, _, ami = manifest["builds"][0]["artifact_id"].partition(":")
    response = cloud.wait_image(ami)
    assert (region, response["Name"], response["Description"]) == ("ap-northeast-2", "golden", "baked by a test")
    assert response["Tags"] == [{"Key": "Name", "Value": "golden"}]
    assert response["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]
    (snapshot,) = cloud.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert snapshot["Tags"] == [{"Key": "Name", "Value": "golden root"}]
    (machine,) = cloud.driver.machines
    assert machine.events == ["start", "stop"]
    assert cloud.instance(machine.spec.instance_id)["State"]["Name"] == "terminated"
    assert cloud.ec2.describe_volumes()["Volumes"] == []
    assert cloud.ec2.describe_key_pairs()["KeyPairs"] == []
    assert [group["GroupName"] for group in cloud.ec2.describe_security_groups()["SecurityGroups"]] == ["default"]
