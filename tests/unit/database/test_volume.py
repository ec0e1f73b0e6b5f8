"""The volume is made once, in the zone of the group, and kept: nothing that is repeated, or taken down, ends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from moto import mock_aws

from goldenami.aws import auto_scaling as groups
from goldenami.aws import ebs as volumes
from goldenami.aws import instances
from goldenami.aws.session import Connection
from goldenami.context import Shop
from goldenami.database import freeze as pausing
from goldenami.database import transfer as carrying
from goldenami.database import volume
from goldenami.database.pause import Pause
from goldenami.errors import GateError
from goldenami.fleet import create as fleet
from goldenami.fleet import report as fleet_telling
from goldenami.infra import auto_scaling as capacity
from goldenami.infra import network as ground
from goldenami.tools.progress import Progress
from tests.support.clock import ScriptedClock
from tests.support.recipes import VOLUME, recipe


def shop_of(folder: Path, **changes: object) -> Shop:
    clock = ScriptedClock()
    found = recipe({**VOLUME, **changes})
    return Shop(
        folder,
        found,
        found.target("local"),
        Connection("ap-northeast-2", keys=("test", "test")),
        clock,
        Progress(clock),
    )


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with mock_aws():
        yield shop_of(tmp_path)


def test_it_is_made_once_encrypted_and_tagged_in_the_zone_of_the_group(shop: Shop) -> None:
    place = ground.find(shop)
    made = volume.ensure(shop, place, "run")
    assert volume.ensure(shop, place, "later").id == made.id
    (found,) = shop.aws.client("ec2").describe_volumes()["Volumes"]
    assert (found["Encrypted"], found["Size"], found["VolumeType"]) == (True, 8, "gp3")
    assert found["AvailabilityZone"] == "ap-northeast-2a"
    tags = {t["Key"]: t["Value"] for t in found["Tags"]}
    assert (tags["goldenami:data"], tags["Name"], tags["Team"]) == ("guestbook", "guestbook-data", "web")
    assert "goldenami:run" not in tags, "a sweep would take it for a leftover of that run"


def test_it_grows_and_what_does_not_fit_is_refused_untouched(shop: Shop, tmp_path: Path) -> None:
    place = ground.find(shop)
    made = volume.ensure(shop, place, "run")
    larger = shop_of(tmp_path, **{"database.volume": {"size_gib": 9}})
    volume.ensure(larger, place, "run")
    assert [one.size for one in volumes.find(shop.aws, shop.name)] == [9]
    with pytest.raises(GateError, match="cannot shrink to 8: set size_gib = 9"):
        volume.ensure(shop, place, "run")
    elsewhere = ground.Ground(place.vpc, place.subnets[::-1])
    with pytest.raises(GateError, match="put ap-northeast-2a first in zones"):
        volume.ensure(larger, elsewhere, "run")
    volumes.create(shop.aws, "ap-northeast-2a", 8, "gp3", "", {"goldenami:data": "guestbook"}, "other")
    with pytest.raises(GateError, match="2 volumes have the tag"):
        volume.ensure(larger, place, "run")
    with pytest.raises(GateError, match="several volumes have the tag"):
        volume.bring(shop, "i-1")
    assert made.id in {one.id for one in volumes.find(shop.aws, shop.name)}


def test_it_comes_to_an_instance_and_from_one_that_was_stopped(shop: Shop) -> None:
    place, ec2 = ground.find(shop), shop.aws.client("ec2")
    made = volume.ensure(shop, place, "run")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    old, new = (
        ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=place.subnets[0])["Instances"][0][
            "InstanceId"
        ]
        for _ in range(2)
    )
    volume.bring(shop, old)
    volume.bring(shop, old)
    assert volume.holds(shop, old)
    instances.stop(shop.aws, shop.clock, old)
    volume.bring(shop, new, why="before run")
    assert volume.holds(shop, new)
    (kept,) = volumes.snapshots(shop.aws, shop.name)
    volume.tidy(shop)
    assert [one.id for one in volumes.snapshots(shop.aws, shop.name)] == [kept.id], "the newest stays"
    assert volumes.find(shop.aws, shop.name)[0].id == made.id


def test_the_group_is_in_its_zone_and_may_mend_itself(shop: Shop) -> None:
    place, ec2 = ground.find(shop), shop.aws.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.micro"}
    ec2.create_launch_template(LaunchTemplateName=shop.names.template, LaunchTemplateData=data)  # type: ignore[arg-type]
    capacity.ensure_group(shop, place, "")
    there = groups.get(shop.aws, shop.names.group)
    assert there is not None
    assert there.suspended == ()
    assert {m.zone for m in there.members} == {"ap-northeast-2a"}
    told = shop.aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    assert told["VPCZoneIdentifier"] == place.subnets[0]


def test_the_fleet_shows_it_and_rows_go_with_it(shop: Shop) -> None:
    assert carrying.way(shop) == "volume"
    (part,) = [p for p in fleet.look(shop) if p.kind == "data volume"]
    assert (part.name, part.there) == ("guestbook-data", False)
    made = volume.ensure(shop, ground.find(shop), "run")
    (part,) = [p for p in fleet.look(shop) if p.kind == "data volume"]
    assert (part.name, part.detail) == (made.id, "8 GiB, ap-northeast-2a, available")
    for doing in ("create", "destroy"):
        (line,) = [one for one in fleet_telling.parts([part], doing, as_json=False).splitlines() if made.id in one]
        assert line.split()[0] == "keep"


def test_a_group_does_not_replace_whose_writes_are_stopped_meanwhile(shop: Shop) -> None:
    place, ec2 = ground.find(shop), shop.aws.client("ec2")
    data = {"ImageId": ec2.describe_images()["Images"][0]["ImageId"], "InstanceType": "t3.micro"}
    ec2.create_launch_template(LaunchTemplateName=shop.names.template, LaunchTemplateData=data)  # type: ignore[arg-type]
    capacity.ensure_group(shop, place, "")
    name = shop.names.group

    def suspended() -> set[str]:
        there = groups.get(shop.aws, name)
        assert there is not None
        return set(there.suspended)

    pause = Pause("run", "db.restore b", (), backup="b")
    with pausing.held(shop, pause):
        assert suspended() == {"HealthCheck", "ReplaceUnhealthy"}
        found = pausing.find(shop)
        assert found == replace(pause, suspended=("HealthCheck", "ReplaceUnhealthy"))
    assert suspended() == set()
    with pytest.raises(GateError, match="did not work"), pausing.held(shop, pause, ending=True):
        raise GateError("it did not work")
    assert suspended() == set()
    groups.suspend(shop.aws, name, ["HealthCheck"])
    with pausing.held(shop, pause, ending=True):
        assert suspended() == {"HealthCheck", "ReplaceUnhealthy"}
    assert pausing.find(shop) is None
    other = replace(pause, run="other")

    def taken_over() -> None:
        with pausing.held(shop, pause):
            pausing.note(shop, other)
            raise GateError("taken over")

    with pytest.raises(GateError, match="taken over"):
        taken_over()
    assert pausing.find(shop) == other, "it is not ours to end"
    assert suspended() == {"HealthCheck", "ReplaceUnhealthy"}
    assert pausing.settle(shop) == ""
    groups.resume(shop.aws, name, ["ReplaceUnhealthy"])
    assert suspended() == {"HealthCheck"}, "as it was found"
    capacity.ensure_group(shop, place, "")
    assert suspended() == set()
