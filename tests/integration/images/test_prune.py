"""Prune against the embedded cloud's API: the same answers as AWS's, page for page, field for field, as far as prune asks."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.images import prune
from goldenami.model import image as model_image
from goldenami.tools.progress import Progress
from tests.support.clock import ScriptedClock
from tests.support.cloud_server import KEYS
from tests.support.recipes import recipe

NAME = "guestbook"
KEEP = {f"retention.{k}": v for k, v in {"verified": 1, "months": 0, "minimum_age_days": 1, "grace_days": 1}.items()}


def context_for(cloud: Any, root: Path) -> Context:
    clock = ScriptedClock(datetime.now(UTC) + timedelta(days=30))
    aws = AwsSession("ap-northeast-2", endpoint_url=cloud.server.endpoint, keys=KEYS)
    known = recipe(KEEP)
    return Context(root, known, known.target("local"), aws, clock, Progress(clock, io.StringIO()))


def bake(cloud: Any, version: str) -> str:
    """A golden image, made from an instance that is gone again."""
    instance = cloud.run()
    cloud.wait(instance, "running")
    told = [
        {"Key": model_image.IMAGE, "Value": NAME},
        {"Key": model_image.LAYER, "Value": "app"},
        {"Key": model_image.VERIFIED, "Value": "x"},
    ]
    kinds = [{"ResourceType": kind, "Tags": told} for kind in ("image", "snapshot")]
    made = cloud.ec2.create_image(InstanceId=instance, Name=f"{NAME}-golden-{version}", TagSpecifications=kinds)
    cloud.wait_image(made["ImageId"])
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    cloud.wait(instance, "terminated")
    ami: str = made["ImageId"]
    return ami


def test_a_prune_deprecates_then_deletes_what_nothing_names(cloud: Any, tmp_path: Path) -> None:
    in_template, in_parameter, shared, free, newest = (bake(cloud, f"v1.{n}") for n in range(5))
    cloud.ec2.create_launch_template(LaunchTemplateName="web", LaunchTemplateData={"ImageId": in_template})
    cloud.ec2.create_launch_template_version(LaunchTemplateName="web", LaunchTemplateData={"ImageId": newest})
    cloud.ssm.put_parameter(Name="/others/ami", Value=in_parameter, Type="String")
    cloud.ssm.put_parameter(Name="/others/ami", Value="none", Type="String", Overwrite=True)
    cloud.ec2.modify_image_attribute(ImageId=shared, LaunchPermission={"Add": [{"UserId": "210987654321"}]})
    disk = cloud.snapshot(free)
    assert disk.exists()
    ctx = context_for(cloud, tmp_path)
    first = {v.image.id: (v.action, v.reason) for v in prune.prune(ctx).decisions}
    assert first == {
        newest: ("keep", "launch template web version 2"),
        free: ("deprecate", first[free][1]),
        shared: ("keep", "it is shared with 210987654321"),
        in_parameter: ("keep", "parameter /others/ami version 1"),
        in_template: ("keep", "launch template web version 1"),
    }
    ctx.clock.sleep(2 * 86400)
    result = prune.prune(ctx)
    assert (result.kept, list(result.snapshots.values())) == ({}, [free])
    assert {image["ImageId"] for image in cloud.ec2.describe_images(Owners=["self"])["Images"]} == set(first) - {free}
    assert not disk.exists()


def test_a_protected_image_is_refused_and_a_used_one_named(cloud: Any, tmp_path: Path) -> None:
    old, newest = bake(cloud, "v1.0"), bake(cloud, "v1.1")
    cloud.ec2.enable_image_deregistration_protection(ImageId=old)
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        cloud.ec2.deregister_image(ImageId=old)
    told = {v.image.id: v.reason for v in prune.prune(context_for(cloud, tmp_path)).decisions}
    assert "deregistration protection" in told[old]
    machine = cloud.run(ImageId=newest)
    (found,) = cloud.ec2.describe_image_references(ImageIds=[newest], IncludeAllResourceTypes=True)["ImageReferences"]
    assert (found["ResourceType"], found["Arn"].rpartition("/")[2]) == ("ec2:Instance", machine)
