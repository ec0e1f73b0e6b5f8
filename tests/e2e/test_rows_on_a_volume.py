"""Rows on a volume: it goes from instance to instance, and every acknowledged row with it, whatever is killed on the way."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import workspace
from tests.e2e.cases import few
from tests.e2e.relay import Relay
from tests.e2e.service import QUICK, Service
from tests.e2e.test_promote_crash import killed
from tests.e2e.test_rows import RESTORE, finished
from tests.e2e.test_rows import settled as one_serves
from tests.e2e.workspace import Workspace, relayed_through
from tests.e2e.writer import Writer, entries

pytestmark = [pytest.mark.e2e, pytest.mark.data]


@pytest.fixture(scope="module")
def moved(ctx: Workspace, baked: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A fleet of one that serves the guestbook and keeps its rows on a volume."""
    assert baked  # its base layer is ours as well
    other = workspace.colleague(ctx, tmp_path_factory.mktemp("volume") / "moved")
    for old, new in QUICK.items():
        other.edit("golden.toml", old, new)
    other.edit("golden.toml", 'mode = "instance"', 'mode = "volume"')
    other.edit("golden.toml", "[[parameters]]", "[database.volume]\nsize_gib = 1\n\n[[parameters]]")
    image = other.ok("bake").strip()
    address = other.ok("fleet.create", "--ami", image).strip()
    found = Service(other, image, address.removeprefix("http://"))
    yield found
    told = other.invoke("fleet.destroy", "--yes")
    assert told.returncode == 0, told.stderr
    assert f"kept the data volume {volume(found)['VolumeId']}" in told.stderr
    free(found)
    found.forget()
    assert other.leftovers() == []


def volume(service: Service) -> dict[str, Any]:
    """The one volume with the data, as EC2 shows it."""
    ours = [{"Name": "tag:goldenami:data", "Values": ["guestbook"]}]
    (found,) = service.client("ec2").describe_volumes(Filters=ours)["Volumes"]
    told: dict[str, Any] = found
    return told


def free(service: Service) -> None:
    """Delete the volume and its snapshots, which only its owner does."""
    ec2 = service.client("ec2")
    ec2.delete_volume(VolumeId=volume(service)["VolumeId"])
    ours = [{"Name": "tag:goldenami:data", "Values": ["guestbook"]}]
    for snapshot in ec2.describe_snapshots(OwnerIds=["self"], Filters=ours)["Snapshots"]:
        ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])


def settled(service: Service, image: str) -> None:
    """One instance of this image serves with the volume; the group may mend itself; nothing is left of a switchover."""
    one_serves(service, image, suspended=set())
    found = volume(service)
    (member,) = service.status()["instances"]
    assert [(a["InstanceId"], a["State"]) for a in found["Attachments"]] == [(member["id"], "attached")]
    assert not found["Attachments"][0]["DeleteOnTermination"]
    assert found["Encrypted"]


def test_a_promotion_and_a_rollback_take_every_row_along(moved: Service) -> None:
    before, image = moved.pointer(), moved.image("well")
    kept = volume(moved)["VolumeId"]
    with Writer(moved.address) as writer:
        moved.ctx.ok("promote", "--ami", image)
        settled(moved, image)
        after = len(writer.acknowledged)
        assert moved.ctx.ok("rollback").strip() == before
        assert len(writer.acknowledged) > after, "it went on between the two"
    settled(moved, before)
    writer.check()
    assert volume(moved)["VolumeId"] == kept
    print(f"{len(writer.acknowledged)} rows, nobody could write for at most {writer.longest:.1f} s")


def another_serves(service: Service, gone: str) -> None:
    """Wait until the group has launched one in the place of this instance, and the balancer sends it requests."""
    deadline = time.monotonic() + 240
    while True:
        time.sleep(2)
        found = service.status()["instances"]
        if [i["target"] for i in found if i["id"] != gone and i["lifecycle"] == "InService"] == ["healthy"]:
            return
        assert time.monotonic() < deadline, found


def test_an_instance_that_dies_is_replaced_by_its_group_with_every_row(moved: Service) -> None:
    image = moved.pointer()
    (member,) = moved.status()["instances"]
    with Writer(moved.address) as writer:
        time.sleep(2)
        moved.client("ec2").terminate_instances(InstanceIds=[member["id"]])
        another_serves(moved, member["id"])
        after = len(writer.acknowledged)
        time.sleep(3)
    assert len(writer.acknowledged) > after
    settled(moved, image)
    writer.check()
    print(f"{len(writer.acknowledged)} rows, nobody could write for at most {writer.longest:.1f} s")


@pytest.mark.long
def test_an_instance_that_is_terminated_leaves_every_row_to_the_next(moved: Service) -> None:
    image, kept = moved.pointer(), volume(moved)["VolumeId"]
    (member,) = moved.status()["instances"]
    refused = moved.ctx.invoke("terminate", "--instance", member["id"])
    assert refused.returncode == 5
    assert "is the last instance that serves" in refused.stderr
    with Writer(moved.address) as writer:
        time.sleep(1)
        done = moved.ctx.invoke("terminate", "--instance", member["id"], "--force")
        assert done.returncode == 0, done.stderr[-3000:]
        assert f"every row of {member['id']} stays on {kept}" in done.stderr
        last = json.loads(moved.ctx.ok("db.list", "--json"))[-1]
        assert last["quiet"], "nobody could write when it was taken"
        another_serves(moved, member["id"])
        after = len(writer.acknowledged)
        time.sleep(3)
    assert len(writer.acknowledged) > after
    settled(moved, image)
    writer.check()
    assert volume(moved)["VolumeId"] == kept


# What follows is shown by default on machines that are none: tests/localcloud/test_fleet_volumes.py.
@pytest.mark.parametrize("kind", few(["unit fails", "dies later"]))
def test_a_bad_image_costs_no_row(moved: Service, kind: str) -> None:
    before, image = moved.pointer(), moved.image(kind)
    with Writer(moved.address) as writer:
        done = moved.ctx.invoke("promote", "--ami", image, "--watch", "40s")
        assert done.returncode == 5, done.stderr[-3000:]
        assert "The previous instance is in service with all data" in done.stderr
    settled(moved, before)
    writer.check()


@pytest.mark.long
@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("PostgreSQL", "16", "is from PostgreSQL 15 and the image has 16, which cannot use it"),
        ("goldenami:family", "ubuntu-24.04", "was written by debian-12 on x86_64, which ubuntu-24.04 on x86_64"),
    ],
)
def test_what_cannot_use_its_files_is_refused_before_anything_is_touched(
    moved: Service, key: str, value: str, told: str
) -> None:
    before, image = moved.pointer(), moved.image("well")
    ec2 = moved.client("ec2")
    tags = {t["Key"]: t["Value"] for t in ec2.describe_images(ImageIds=[before])["Images"][0]["Tags"]}
    assert tags["goldenami:family"] == "debian-12"
    ec2.create_tags(Resources=[image], Tags=[{"Key": key, "Value": value}])
    with Writer(moved.address) as writer:
        done = moved.ctx.invoke("promote", "--ami", image)
    assert done.returncode == 5
    assert told in done.stderr
    assert (writer.refused, writer.unsure) == ([], [])
    settled(moved, before)
    writer.check()


CALLS: dict[str, Callable[[str, str], bool]] = {
    "noted": lambda name, body: name == "PutParameter" and "/switchover" in body and "launching" in body,
    "launched": lambda name, _: name == "RunInstances",
    "moving": lambda name, body: name == "PutParameter" and "/switchover" in body and "moving" in body,
    "released": lambda name, body: name == "SendCommand" and "action=unmount" in body,
    "kept": lambda name, _: name == "CreateSnapshot",
    "detached": lambda name, _: name == "DetachVolume",
    "attached": lambda name, _: name == "AttachVolume",
    "taken": lambda name, body: name == "SendCommand" and "action=mount" in body,
    "open": lambda name, body: name == "SendCommand" and "action=resume" in body,
    "opened": lambda name, body: name == "PutParameter" and "/switchover" in body and "opened" in body,
    "joined": lambda name, _: name == "AttachInstances",
    "left": lambda name, _: name == "DetachInstances",
    "terminated": lambda name, _: name == "TerminateInstances",
    "forgotten": lambda name, body: name == "DeleteParameter" and "/switchover" in body,
}


@pytest.fixture
def relayed(moved: Service, tmp_path: Path) -> Iterator[tuple[Workspace, Relay]]:
    """Another checkout whose calls all go through a relay."""
    with relayed_through(moved.ctx, tmp_path / "relayed") as both:
        yield both


@pytest.fixture(scope="module")
def pair(moved: Service) -> tuple[str, str]:
    """Two good images to go to and fro between."""
    return moved.good, moved.image("well")


@pytest.mark.parametrize("call", few(CALLS))
def test_killed_at_any_step_the_next_promotion_finishes_it(
    moved: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str], call: str
) -> None:
    ctx, relay = relayed
    image = pair[1] if moved.pointer() == pair[0] else pair[0]
    with Writer(moved.address) as writer:
        killed(ctx, relay, CALLS[call], "promote", "--ami", image)
        result = json.loads(ctx.ok("promote", "--ami", image, "--json"))
    assert result["ami"] == image
    settled(moved, image)
    writer.check()
    assert len(set(entries(moved.address))) >= len(writer.acknowledged)


@pytest.mark.parametrize("call", few(["released", "detached", "attached", "opened"]))
def test_killed_at_a_step_a_rollback_takes_it_back(
    moved: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str], call: str
) -> None:
    ctx, relay = relayed
    before = moved.pointer()
    image = pair[1] if before == pair[0] else pair[0]
    with Writer(moved.address) as writer:
        killed(ctx, relay, CALLS[call], "promote", "--ami", image)
        assert ctx.ok("rollback").strip() == before
    settled(moved, before)
    writer.check()


@pytest.mark.parametrize("call", few(RESTORE))
def test_a_restore_that_was_killed_is_finished_by_the_same_again(
    moved: Service, relayed: tuple[Workspace, Relay], call: str
) -> None:
    image = moved.pointer()
    finished(moved, *relayed, call)
    settled(moved, image)


@pytest.mark.long
def test_the_source_may_die_while_the_volume_is_on_its_way(
    moved: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str]
) -> None:
    ctx, relay = relayed
    image = pair[1] if moved.pointer() == pair[0] else pair[0]
    (member,) = moved.status()["instances"]
    with Writer(moved.address) as writer:
        time.sleep(1)
        killed(ctx, relay, CALLS["detached"], "promote", "--ami", image)
        ec2 = moved.client("ec2")
        ec2.terminate_instances(InstanceIds=[member["id"]])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[member["id"]], WaiterConfig={"Delay": 1})
        ctx.ok("promote", "--ami", image)
    settled(moved, image)
    writer.check()


@pytest.mark.long
def test_a_fleet_that_was_taken_down_comes_back_with_its_rows(moved: Service) -> None:
    image = moved.pointer()
    with Writer(moved.address) as writer:
        time.sleep(1)
    moved.ctx.ok("fleet.destroy", "--yes")
    assert volume(moved)["State"] == "available"
    moved.address = moved.ctx.ok("fleet.create").strip().removeprefix("http://")
    settled(moved, image)
    writer.check(moved.address)
