"""Deployments without a group, with the data on a volume, which moves to the new instance, also after a crash."""

from __future__ import annotations

from typing import Any

import pytest

from goldenami.aws import ebs
from goldenami.context import Context
from goldenami.database import transfer
from goldenami.errors import GateError
from goldenami.images.model import ImageSelector
from goldenami.promote import deploy, report as promote_report
from goldenami.promote.model import PromoteOptions
from tests.e2e.cases import few
from tests.integration.database.test_volume import (
    Quay,
    Told,
    Writer,
    quay,  # noqa: F401 - a fixture
)
from tests.integration.promote.test_promote import Killed, pytestmark as promotions
from tests.support.cloud_server import eventually

pytestmark = promotions


@pytest.fixture(scope="module")
def berth(quay: Quay) -> Quay:
    """The same after somebody has taken its group away: nobody has the volume, until one instance is deployed."""
    quay.town.autoscaling.delete_auto_scaling_group(AutoScalingGroupName="guestbook-asg", ForceDelete=True)
    eventually(lambda: not quay.town.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"], 20)
    eventually(lambda: not running(quay), 20)
    run(quay, quay.good)
    at_rest(quay, quay.good)
    return quay


def run(quay: Quay, ami: str, ctx: Context | None = None) -> None:
    deploy.deploy(ctx or quay.ctx(), PromoteOptions(ImageSelector(ami)))


def running(quay: Quay) -> dict[str, str]:
    """The image of each of the service's instances that is not on its way out."""
    ours: Any = [{"Name": "tag:goldenami:fleet", "Values": ["guestbook"]}]
    found = quay.town.ec2.describe_instances(Filters=ours)["Reservations"]
    there = [i for r in found for i in r["Instances"] if i["State"]["Name"] not in ("terminated", "shutting-down")]
    return {i["InstanceId"]: i["ImageId"] for i in there}


def at_rest(quay: Quay, ami: str) -> None:
    """One instance of this image has the volume, and nothing is left of a switchover."""
    ((only, image),) = running(quay).items()
    assert image == ami
    (found,) = ebs.list_volumes(quay.ctx().aws, "guestbook")
    assert (found.instance, found.attachment) == (only, "attached")
    assert quay.driver.launched(only)[-1].mounted == {found.id}
    assert transfer.load(quay.ctx()) is None


@pytest.mark.parametrize("name", few(["DetachVolume", "AttachVolume", "SendCommand resume"]))
def test_deploy_killed_after_any_call_resumes(berth: Quay, name: str) -> None:
    image, ctx = berth.image("good"), berth.ctx()
    wire = Told(ctx.aws)
    wire.end_after(name, 1)
    with Writer(berth) as writer:
        with pytest.raises(Killed):
            run(berth, image, ctx)
        assert wire.calls[-1] == name
        run(berth, image)
    writer.check()
    at_rest(berth, image)


def test_deploy_plan_changes_no_data(berth: Quay) -> None:
    image, ctx, asked = berth.image("good"), berth.ctx(), len(berth.driver.asked)
    wire = Told(ctx.aws)
    found = deploy.preflight(ctx, PromoteOptions(ImageSelector(image)))
    text = promote_report.deploy_preflight(ctx, found).text
    ((only, _),) = running(berth).items()
    assert f"stop writes on {only}; move the volume to the new one" in text
    assert found.blockers == ()
    berth.town.ec2.create_tags(Resources=[image], Tags=[{"Key": "PostgreSQL", "Value": "16"}])
    (reason,) = deploy.preflight(ctx, PromoteOptions(ImageSelector(image))).blockers
    assert "is from PostgreSQL 15 and the image has 16" in reason
    assert {told.split()[0] for told in berth.driver.asked[asked:]} == {"inspect"}
    assert wire.calls == []


@pytest.mark.long
@pytest.mark.parametrize("ill", ["sick", "refuses"])
def test_bad_image_loses_no_row(berth: Quay, ill: str) -> None:
    ((only, before),) = running(berth).items()
    with Writer(berth) as writer, pytest.raises(GateError, match="failed the health gate"):
        run(berth, berth.image(f"bad {ill}"))
    writer.check()
    at_rest(berth, before)
    assert list(running(berth)) == [only]
