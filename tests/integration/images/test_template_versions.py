"""Trimming the launch template against the embedded cloud: the claim is taken, the versions go, and the images with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from goldenami.images import prune, template_versions
from goldenami.state import lock
from tests.integration.images.test_prune import NAME, bake, context_for


def version(cloud: Any, ami: str, *, first: bool = False) -> None:
    told = [{"Key": "goldenami:ami", "Value": ami}]
    data = {"ImageId": ami, "TagSpecifications": [{"ResourceType": "instance", "Tags": told}]}
    make = cloud.ec2.create_launch_template if first else cloud.ec2.create_launch_template_version
    make(LaunchTemplateName=f"{NAME}-template", LaunchTemplateData=data)


def test_versions_of_no_use_go_and_no_longer_hold_their_images(cloud: Any, tmp_path: Path) -> None:
    amis = [bake(cloud, f"v1.{n}") for n in range(3)]
    for number, ami in enumerate(amis):
        version(cloud, ami, first=number == 0)
    cloud.ec2.modify_launch_template(LaunchTemplateName=f"{NAME}-template", DefaultVersion="3")
    for ami in (amis[1], amis[2]):
        cloud.ssm.put_parameter(Name=f"/goldenami/{NAME}/production", Value=ami, Type="String", Overwrite=True)
    ctx = context_for(cloud, tmp_path)
    assert {v.image.id: v.reason for v in prune.prune(ctx, plan_only=True).decisions}[amis[0]] == (
        f"launch template {NAME}-template version 1"
    )
    with lock.acquire(ctx, "somebody-s", "promote"):
        held = template_versions.trim(ctx)
    assert "promote" in held.busy
    planned = template_versions.trim(ctx, plan_only=True)
    assert [judged.version.number for judged in planned.removable] == [1]
    template_versions.trim(ctx)
    assert [judged.version.number for judged in template_versions.trim(ctx).versions] == [2, 3]
    assert {v.image.id: v.action for v in prune.prune(ctx).decisions}[amis[0]] == "deprecate"
