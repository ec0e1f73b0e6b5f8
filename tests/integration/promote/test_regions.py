"""A promotion in two regions of the embedded cloud: each preflight first, one after the other, none after the first red one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goldenami.aws import images, parameters
from goldenami.context import Context
from goldenami.errors import BusyError, GateError, UsageError
from goldenami.images import copy as images_copy
from goldenami.images.model import ImageSelector
from goldenami.promote import regions
from goldenami.promote.model import PromoteOptions
from goldenami.state import lock
from tests.integration.images.test_prune import NAME, bake, context_for

FAR = "us-east-1"


@pytest.fixture
def ctx(cloud: Any, tmp_path: Path) -> Context:
    """An image that is copied to the other region, and a launch template in each; no group."""
    former, ami = bake(cloud, "v1.0"), bake(cloud, "v1.1")
    found = context_for(cloud, tmp_path)
    images_copy.copy(found, ImageSelector(ami), [FAR])
    for stop in regions.plan_regions(found, of_version("v1.1"), [FAR]):
        stop.ctx.aws.client("ec2").create_launch_template(
            LaunchTemplateName=f"{NAME}-template",
            LaunchTemplateData={"ImageId": former, "InstanceType": "t3.micro"},
            TagSpecifications=[
                {"ResourceType": "launch-template", "Tags": [{"Key": "goldenami:fleet", "Value": NAME}]}
            ],
        )
    return found


def of_version(version: str) -> PromoteOptions:
    return PromoteOptions(ImageSelector(version=version))


def production(stop: regions.RegionStep) -> str:
    found = parameters.get(stop.ctx.aws, stop.ctx.names.production)
    return found.value if found else ""


def test_the_same_version_is_promoted_in_one_region_after_the_other(ctx: Context) -> None:
    route = regions.plan_regions(ctx, of_version("v1.1"), [FAR])
    assert [stop.region for stop in route] == ["ap-northeast-2", FAR]
    done = list(regions.promote_regions(list(regions.preflights(route))))
    assert [production(stop) for stop in route] == [result.image.id for _, result in done]
    assert len({result.image.id for _, result in done}) == 2
    assert {result.image.name for _, result in done} == {f"{NAME}-golden-v1.1"}


def test_one_that_refuses_holds_up_all_before_anything_is_done(ctx: Context) -> None:
    route = regions.plan_regions(ctx, of_version("v1.1"), [FAR])
    (copy,) = images.list_family(route[1].ctx.aws, NAME)
    images.tag(route[1].ctx.aws, [copy.id], {"goldenami:retired": "leaks"})
    with pytest.raises(GateError, match=rf"{FAR}: .*retired") as error:
        list(regions.promote_regions(list(regions.preflights(route))))
    assert "No changes were made in any region" in str(error.value)
    assert [production(stop) for stop in route] == ["", ""]


def test_none_is_begun_after_the_first_red_one(ctx: Context) -> None:
    route = regions.plan_regions(ctx, of_version("v1.1"), [FAR])
    with lock.acquire(route[0].ctx, "somebody-s", "promote"), pytest.raises(BusyError, match="ap-northeast-2") as error:
        list(regions.promote_regions(list(regions.preflights(route))))
    assert f"Not started: {FAR}" in str(error.value)
    assert [production(stop) for stop in route] == ["", ""]


def test_the_second_one_s_failure_says_that_the_first_is_done(ctx: Context) -> None:
    route = regions.plan_regions(ctx, of_version("v1.1"), [FAR])
    with lock.acquire(route[1].ctx, "somebody-s", "promote"), pytest.raises(BusyError, match=FAR) as error:
        list(regions.promote_regions(list(regions.preflights(route))))
    assert "Promoted before: ap-northeast-2" in str(error.value)
    assert production(route[0])
    assert not production(route[1])


def test_what_cannot_be_is_refused_and_says_the_way(ctx: Context) -> None:
    for version, far, words in (
        ("v1.1", [FAR, FAR], "a region is named twice"),
        ("v1.1", ["ap-northeast-2"], "a region is named twice"),
        ("v9.9", [FAR], "does not exist"),
    ):
        with pytest.raises(UsageError, match=words):
            regions.plan_regions(ctx, of_version(version), far)
    with pytest.raises(UsageError, match=FAR) as error:
        list(regions.preflights(regions.plan_regions(ctx, of_version("v1.0"), [FAR])))
    assert "./invoke copy" in str(error.value)
