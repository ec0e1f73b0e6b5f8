"""The data volume is created once, in the zone of the group, and never deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from moto import mock_aws

from goldenami.aws import auto_scaling as aws_auto_scaling, ebs, instances
from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.database import freeze, transfer, volume
from goldenami.database.switchover_model import WriteFreeze
from goldenami.errors import GateError
from goldenami.fleet import describe, report as fleet_report
from goldenami.infra import auto_scaling as infra_auto_scaling, network
from goldenami.tools.progress import Progress
from tests.support.clock import ScriptedClock
from tests.support.recipes import VOLUME, recipe


def shop_of(folder: Path, **changes: object) -> Context:
    clock = ScriptedClock()
    found = recipe({**VOLUME, **changes})
    return Context(
        folder,
        found,
        found.target("local"),
        AwsSession("ap-northeast-2", keys=("test", "test")),
        clock,
        Progress(clock),
    )


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    with mock_aws():
        yield shop_of(tmp_path)


def test_volume_is_created_once_encrypted_and_tagged_in_the_zone(ctx: Context) -> None:
    place = network.find_network(ctx)
    made = volume.ensure_volume(ctx, place, "run")
    assert volume.ensure_volume(ctx, place, "later").id == made.id
    (found,) = ctx.aws.client("ec2").describe_volumes()["Volumes"]
    assert (found["Encrypted"], found["Size"], found["VolumeType"]) == (True, 8, "gp3")
    assert found["AvailabilityZone"] == "ap-northeast-2a"
    tags = {t["Key"]: t["Value"] for t in found["Tags"]}
    assert (tags["goldenami:data"], tags["Name"], tags["Team"]) == ("guestbook", "guestbook-data", "web")
    assert "goldenami:run" not in tags, "sweep would delete it"


def test_volume_grows_and_unfit_volumes_are_refused(ctx: Context, tmp_path: Path) -> None:
    place = network.find_network(ctx)
    made = volume.ensure_volume(ctx, place, "run")
    larger = shop_of(tmp_path, **{"database.volume": {"size_gib": 9}})
    volume.ensure_volume(larger, place, "run")
    assert [one.size for one in ebs.list_volumes(ctx.aws, ctx.name)] == [9]
    with pytest.raises(GateError, match="cannot shrink to 8: set size_gib = 9"):
        volume.ensure_volume(ctx, place, "run")
    elsewhere = network.Network(place.vpc, place.subnets[::-1])
    with pytest.raises(GateError, match="put ap-northeast-2a first in zones"):
        volume.ensure_volume(larger, elsewhere, "run")
    ebs.create(ctx.aws, "ap-northeast-2a", 8, "gp3", "", {"goldenami:data": "guestbook"}, "other")
    with pytest.raises(GateError, match="2 volumes have the tag"):
        volume.ensure_volume(larger, place, "run")
    with pytest.raises(GateError, match="several volumes have the tag"):
        volume.attach(ctx, "i-1")
    assert made.id in {one.id for one in ebs.list_volumes(ctx.aws, ctx.name)}


def test_volume_is_attached_also_from_a_stopped_instance(ctx: Context) -> None:
    place, ec2 = network.find_network(ctx), ctx.aws.client("ec2")
    made = volume.ensure_volume(ctx, place, "run")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    old, new = (
        ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=place.subnets[0])["Instances"][0][
            "InstanceId"
        ]
        for _ in range(2)
    )
    volume.attach(ctx, old)
    volume.attach(ctx, old)
    assert volume.is_attached_to(ctx, old)
    instances.stop(ctx.aws, ctx.clock, old)
    volume.attach(ctx, new, snapshot="before run")
    assert volume.is_attached_to(ctx, new)
    (kept,) = ebs.list_snapshots(ctx.aws, ctx.name)
    volume.delete_expired_snapshots(ctx)
    assert [one.id for one in ebs.list_snapshots(ctx.aws, ctx.name)] == [kept.id], "the newest is kept"
    assert ebs.list_volumes(ctx.aws, ctx.name)[0].id == made.id


def test_group_with_a_volume_is_in_its_zone_and_heals_itself(ctx: Context) -> None:
    place, ec2 = network.find_network(ctx), ctx.aws.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.micro"}
    ec2.create_launch_template(LaunchTemplateName=ctx.names.launch_template, LaunchTemplateData=data)  # type: ignore[arg-type]
    infra_auto_scaling.ensure_group(ctx, place, "", ())
    there = aws_auto_scaling.get(ctx.aws, ctx.names.group)
    assert there is not None
    assert there.suspended == ()
    assert {m.zone for m in there.members} == {"ap-northeast-2a"}
    told = ctx.aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    assert told["VPCZoneIdentifier"] == place.subnets[0]


def test_fleet_shows_the_volume_and_transfers_with_it(ctx: Context) -> None:
    assert transfer.transfer_method(ctx) == "volume"
    (part,) = [p for p in describe.list_resources(ctx) if p.kind == "data volume"]
    assert (part.name, part.exists) == ("guestbook-data", False)
    made = volume.ensure_volume(ctx, network.find_network(ctx), "run")
    (part,) = [p for p in describe.list_resources(ctx) if p.kind == "data volume"]
    assert (part.name, part.detail) == (made.id, "8 GiB, ap-northeast-2a, available")
    for doing in ("create", "destroy"):
        (line,) = [one for one in fleet_report.resources([part], doing).text.splitlines() if made.id in one]
        assert line.split()[0] == "keep"


def test_write_freeze_suspends_self_healing(ctx: Context) -> None:
    place, ec2 = network.find_network(ctx), ctx.aws.client("ec2")
    data = {"ImageId": ec2.describe_images()["Images"][0]["ImageId"], "InstanceType": "t3.micro"}
    ec2.create_launch_template(LaunchTemplateName=ctx.names.launch_template, LaunchTemplateData=data)  # type: ignore[arg-type]
    infra_auto_scaling.ensure_group(ctx, place, "", ())
    name = ctx.names.group

    def suspended() -> set[str]:
        there = aws_auto_scaling.get(ctx.aws, name)
        assert there is not None
        return set(there.suspended)

    pause = WriteFreeze("run", "db.restore b", ("i-1",), backup="b")
    with freeze.frozen(ctx, pause):
        assert suspended() == {"HealthCheck", "ReplaceUnhealthy"}
        found = freeze.load(ctx)
        now = ctx.clock.now().isoformat(timespec="seconds")
        assert found == replace(pause, suspended=("HealthCheck", "ReplaceUnhealthy"), since=now)
    assert suspended() == set()
    with pytest.raises(GateError, match="did not work"), freeze.frozen(ctx, pause, ending=True):
        raise GateError("it did not work")
    assert suspended() == set()
    aws_auto_scaling.suspend(ctx.aws, name, ["HealthCheck"])
    with freeze.frozen(ctx, pause, ending=True):
        assert suspended() == {"HealthCheck", "ReplaceUnhealthy"}
    assert freeze.load(ctx) is None
    other = replace(pause, run="other")

    def taken_over() -> None:
        with freeze.frozen(ctx, pause):
            freeze.save(ctx, other)
            raise GateError("taken over")

    with pytest.raises(GateError, match="taken over"):
        taken_over()
    assert freeze.load(ctx) == other, "it belongs to another run"
    assert suspended() == {"HealthCheck", "ReplaceUnhealthy"}
    assert freeze.end_stale_freeze(ctx) == ""
    aws_auto_scaling.resume(ctx.aws, name, ["ReplaceUnhealthy"])
    assert suspended() == {"HealthCheck"}, "as before"
    infra_auto_scaling.ensure_group(ctx, place, "", ())
    assert suspended() == set()
