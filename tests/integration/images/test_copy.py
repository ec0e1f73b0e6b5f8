"""Copies between regions of the embedded cloud: whole, encrypted, shared, published; killed at each call, taken up again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldenami.aws import image_copies
from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.errors import AwsError, GateError, UsageError
from goldenami.images import copy, report as images_report
from goldenami.images.model import ImageSelector
from goldenami.recipe.image import CopyTarget
from tests.integration.images.test_prune import NAME, bake, context_for
from tests.support.cloud_server import client

FRIEND = "210987654321"
CHANGES = ("CopyImage", "ModifyImageAttribute", "ModifySnapshotAttribute", "CreateTags", "PutParameter")


class Killed(BaseException):
    """The process ends here."""


class Watch:
    """Counts the calls that change something, in whatever region, and ends the process before one of them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, str]] = []
        self.doom = 0
        plain = AwsSession.client

        def watched(aws: AwsSession, service: Any) -> Any:
            client = plain(aws, service)
            # With an id of its own, a handler is registered once, however often the client is asked for.
            client.meta.events.register_first(
                "before-call", lambda model, **_: self.see(aws.region, model.name), unique_id="watch"
            )
            return client

        patch.setattr(AwsSession, "client", watched)

    def see(self, region: str, call: str) -> None:
        if call in CHANGES:
            self.made.append((region, call))
            if len(self.made) == self.doom:
                raise Killed


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    return Watch(monkeypatch)  # type: ignore[return-value]


def with_copies(ctx: Context, *copies: CopyTarget) -> Context:
    recipe = ctx.recipe.model_copy(update={"copies": copies})
    return Context(ctx.root, recipe, ctx.target, ctx.aws, ctx.clock, ctx.progress)


def there(cloud: Any, region: str) -> list[dict[str, Any]]:
    ec2 = client(cloud.server.endpoint, "ec2", region=region)
    found: list[dict[str, Any]] = ec2.describe_images(Owners=["self"])["Images"]
    return found


@pytest.fixture
def golden(cloud: Any) -> str:
    ami = bake(cloud, "v1.0")
    cloud.ec2.modify_image_attribute(ImageId=ami, ImdsSupport={"Value": "v2.0"})
    return ami


def test_an_image_is_carried_to_each_place_whole(cloud: Any, tmp_path: Path, golden: str) -> None:
    key = "1234abcd-12ab-34cd-56ef-1234567890ab"
    ctx = with_copies(
        context_for(cloud, tmp_path),
        CopyTarget(region="us-east-1", kms_key_id=key, share_with=(FRIEND,)),
        CopyTarget(region="eu-west-1", publish=False),
    )
    planned = copy.preflight(ctx, ImageSelector(golden))
    assert [journey.steps[0] for journey in planned.copies] == ["copy", "copy"]
    assert there(cloud, "us-east-1") == []
    done = copy.copy(ctx, ImageSelector(golden))
    (copied,) = there(cloud, "us-east-1")
    tags = {tag["Key"]: tag["Value"] for tag in copied["Tags"]}
    assert (copied["Name"], copied["SourceImageId"], copied["ImdsSupport"]) == (f"{NAME}-golden-v1.0", golden, "v2.0")
    assert tags["goldenami:verified"] == "x"
    assert tags["goldenami:copy-of"] == golden
    assert copied["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]
    pointer = client(cloud.server.endpoint, "ssm")
    assert pointer.meta.region_name == "ap-northeast-2"
    told = images_report.copied(done, plan_only=False).facts
    assert [(one["region"], one["remaining_steps"]) for one in told["copies"]] == [("us-east-1", []), ("eu-west-1", [])]
    source = {tag["Key"]: tag["Value"] for tag in cloud.image(golden)["Tags"]}
    assert source["goldenami:copy-in:us-east-1"] == copied["ImageId"]
    again = copy.preflight(ctx, ImageSelector(golden))
    assert [journey.steps for journey in again.copies] == [(), ()]


def test_killed_before_each_change_the_next_run_finishes_with_one_copy(
    cloud: Any, tmp_path: Path, golden: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = with_copies(context_for(cloud, tmp_path), CopyTarget(region="us-east-1", share_with=(FRIEND,)))
    # One connection for all: making clients takes longer than the calls.
    far = ctx.aws.__class__("us-east-1", endpoint_url=ctx.aws.endpoint_url, keys=ctx.aws.keys)
    monkeypatch.setattr(image_copies, "in_region", lambda *_: far)
    for doom in range(1, 20):
        watch.made, watch.doom = [], doom
        with contextlib.suppress(Killed):
            copy.copy(ctx, ImageSelector(golden))
        ended = len(watch.made) == doom
        watch.doom = 0
        copy.copy(ctx, ImageSelector(golden))
        (copied,) = there(cloud, "us-east-1")
        assert copy.preflight(ctx, ImageSelector(golden)).copies[0].steps == ()
        if not ended:
            break
        # The parameter first: while it is still being validated, it must not lose the image that it names.
        far.client("ssm").delete_parameter(Name=ctx.candidate)
        far.client("ec2").deregister_image(ImageId=copied["ImageId"])
    assert doom > 6


def test_what_is_not_verified_is_not_carried(cloud: Any, tmp_path: Path, golden: str) -> None:
    cloud.ec2.create_tags(Resources=[golden], Tags=[{"Key": "goldenami:retired", "Value": "leaks"}])
    ctx = with_copies(context_for(cloud, tmp_path), CopyTarget(region="us-east-1"))
    with pytest.raises(GateError, match="retired"):
        copy.copy(ctx, ImageSelector(golden))
    assert there(cloud, "us-east-1") == []


def test_nowhere_to_copy_to_and_a_name_that_is_taken_are_said(cloud: Any, tmp_path: Path, golden: str) -> None:
    ctx = context_for(cloud, tmp_path)
    with pytest.raises(UsageError, match="no destination"):
        copy.copy(ctx, ImageSelector(golden))
    with pytest.raises(UsageError, match="already"):
        copy.copy(ctx, ImageSelector(golden), ["ap-northeast-2"])
    stranger = client(cloud.server.endpoint, "ec2", region="us-east-1")
    stranger.copy_image(Name=f"{NAME}-golden-v1.0", SourceImageId=golden, SourceRegion="ap-northeast-2")
    with pytest.raises(AwsError, match="not a copy of"):
        copy.copy(ctx, ImageSelector(golden), ["us-east-1"])
