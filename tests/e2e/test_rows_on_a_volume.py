"""Data on a volume that moves between instances: every acknowledged row exists, also after kills."""

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
from tests.e2e.service import FAST_SETTINGS, Service
from tests.e2e.test_promote_crash import run_and_kill
from tests.e2e.test_rows import RESTORE, assert_idle as one_serves, check_killed_restore
from tests.e2e.workspace import Workspace, relayed_through
from tests.e2e.writer import Writer, entries

pytestmark = [pytest.mark.e2e, pytest.mark.data]


@pytest.fixture(scope="module")
def moved(ctx: Workspace, baked: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Fleet of one that serves the guestbook with its data on a volume."""
    assert baked  # provides the base layer
    other = workspace.copy_checkout(ctx, tmp_path_factory.mktemp("volume") / "moved")
    for old, new in FAST_SETTINGS.items():
        other.edit("golden.toml", old, new)
    other.edit("golden.toml", 'mode = "instance"', 'mode = "volume"')
    other.edit("golden.toml", "[[parameters]]", "[database.volume]\nsize_gib = 1\n\n[[parameters]]")
    image = other.ok("bake").strip()
    address = other.ok("fleet.create", "--ami", image).strip()
    found = Service(other, image, address.removeprefix("http://"))
    yield found
    done = other.invoke("fleet.destroy", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"kept the data volume {volume(found)['VolumeId']}" in done.stderr
    free(found)
    found.clean_up()
    assert other.leftovers() == []


def volume(service: Service) -> dict[str, Any]:
    """Return EC2's description of the data volume."""
    filters = [{"Name": "tag:goldenami:data", "Values": ["guestbook"]}]
    (description,) = service.client("ec2").describe_volumes(Filters=filters)["Volumes"]
    volume: dict[str, Any] = description
    return volume


def free(service: Service) -> None:
    """Delete the volume and its snapshots, which goldenami never does."""
    ec2 = service.client("ec2")
    ec2.delete_volume(VolumeId=volume(service)["VolumeId"])
    filters = [{"Name": "tag:goldenami:data", "Values": ["guestbook"]}]
    for snapshot in ec2.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]:
        ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])


def assert_idle(service: Service, image: str) -> None:
    """Check that one instance of this image serves with the volume, self-healing is enabled, and no switchover is unfinished."""
    one_serves(service, image, suspended=set())
    found = volume(service)
    (member,) = service.status()["instances"]
    assert [(a["InstanceId"], a["State"]) for a in found["Attachments"]] == [(member["id"], "attached")]
    assert not found["Attachments"][0]["DeleteOnTermination"]
    assert found["Encrypted"]


def test_promotion_and_rollback_move_the_volume(moved: Service) -> None:
    before, image = moved.production_ami(), moved.image("healthy")
    volume_id = volume(moved)["VolumeId"]
    with Writer(moved.address) as writer:
        moved.ctx.ok("promote", "--ami", image)
        assert_idle(moved, image)
        after = len(writer.acknowledged)
        assert moved.ctx.ok("rollback").strip() == before
        assert len(writer.acknowledged) > after, "it went on between the two"
    assert_idle(moved, before)
    writer.check()
    assert volume(moved)["VolumeId"] == volume_id
    print(f"{len(writer.acknowledged)} rows, longest write downtime {writer.longest:.1f} s")


def another_serves(service: Service, gone: str) -> None:
    """Wait until the group has replaced this instance and the replacement is healthy."""
    deadline = time.monotonic() + 240
    while True:
        time.sleep(2)
        found = service.status()["instances"]
        if [i["target"] for i in found if i["id"] != gone and i["lifecycle"] == "InService"] == ["healthy"]:
            return
        assert time.monotonic() < deadline, found


def test_group_replaces_a_crashed_instance_with_all_data(moved: Service) -> None:
    image = moved.production_ami()
    (member,) = moved.status()["instances"]
    with Writer(moved.address) as writer:
        time.sleep(2)
        moved.client("ec2").terminate_instances(InstanceIds=[member["id"]])
        another_serves(moved, member["id"])
        after = len(writer.acknowledged)
        time.sleep(3)
    assert len(writer.acknowledged) > after
    assert_idle(moved, image)
    writer.check()
    print(f"{len(writer.acknowledged)} rows, longest write downtime {writer.longest:.1f} s")


@pytest.mark.long
def test_terminated_instance_leaves_all_data_to_the_next(moved: Service) -> None:
    image, volume_id = moved.production_ami(), volume(moved)["VolumeId"]
    (member,) = moved.status()["instances"]
    refused = moved.ctx.invoke("terminate", "--instance", member["id"])
    assert refused.returncode == 5
    assert "is the last instance in service" in refused.stderr
    with Writer(moved.address) as writer:
        time.sleep(1)
        done = moved.ctx.invoke("terminate", "--instance", member["id"], "--force")
        assert done.returncode == 0, done.stderr[-3000:]
        assert f"the data of {member['id']} is kept on {volume_id}" in done.stderr
        last = json.loads(moved.ctx.ok("db.list", "--json"))[-1]
        assert last["writes_stopped"], "writes were stopped for this backup"
        another_serves(moved, member["id"])
        after = len(writer.acknowledged)
        time.sleep(3)
    assert len(writer.acknowledged) > after
    assert_idle(moved, image)
    writer.check()
    assert volume(moved)["VolumeId"] == volume_id


# The rest is covered by default with in-memory instances in tests/integration/database/test_volume.py.
@pytest.mark.parametrize("kind", few(["unit fails", "dies later"]))
def test_unhealthy_image_loses_no_row(moved: Service, kind: str) -> None:
    before, image = moved.production_ami(), moved.image(kind)
    with Writer(moved.address) as writer:
        done = moved.ctx.invoke("promote", "--ami", image, "--watch", "40s")
        assert done.returncode == 5, done.stderr[-3000:]
        assert "The previous instance is in service with all data" in done.stderr
    assert_idle(moved, before)
    writer.check()


@pytest.mark.long
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("PostgreSQL", "16", "is from PostgreSQL 15 and the image has 16, which cannot use it"),
        ("goldenami:family", "ubuntu-24.04", "was written by debian-12 on x86_64, which ubuntu-24.04 on x86_64"),
    ],
)
def test_incompatible_image_is_refused_before_any_change(moved: Service, key: str, value: str, message: str) -> None:
    before, image = moved.production_ami(), moved.image("healthy")
    ec2 = moved.client("ec2")
    tags = {t["Key"]: t["Value"] for t in ec2.describe_images(ImageIds=[before])["Images"][0]["Tags"]}
    assert tags["goldenami:family"] == "debian-12"
    ec2.create_tags(Resources=[image], Tags=[{"Key": key, "Value": value}])
    with Writer(moved.address) as writer:
        done = moved.ctx.invoke("promote", "--ami", image)
    assert done.returncode == 5
    assert message in done.stderr
    assert (writer.refused, writer.unsure) == ([], [])
    assert_idle(moved, before)
    writer.check()


CALLS: dict[str, Callable[[str, str], bool]] = {
    "noted": lambda name, body: name == "PutParameter" and "/switchover" in body and "launching" in body,
    "launched": lambda name, _: name == "RunInstances",
    "moving": lambda name, body: name == "PutParameter" and "/switchover" in body and "moving" in body,
    "released": lambda name, body: name == "SendCommand" and "action=unmount" in body,
    "snapshot": lambda name, _: name == "CreateSnapshot",
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
    """Another checkout whose API calls go through the relay."""
    with relayed_through(moved.ctx, tmp_path / "relayed") as both:
        yield both


@pytest.fixture(scope="module")
def pair(moved: Service) -> tuple[str, str]:
    """Two healthy images to switch between."""
    return moved.good, moved.image("healthy")


@pytest.mark.parametrize("call", few(CALLS))
def test_killed_promotion_is_completed_by_the_next(
    moved: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str], call: str
) -> None:
    ctx, relay = relayed
    image = pair[1] if moved.production_ami() == pair[0] else pair[0]
    with Writer(moved.address) as writer:
        run_and_kill(ctx, relay, CALLS[call], "promote", "--ami", image)
        result = json.loads(ctx.ok("promote", "--ami", image, "--json"))
    assert result["ami"] == image
    assert_idle(moved, image)
    writer.check()
    assert len(set(entries(moved.address))) >= len(writer.acknowledged)


@pytest.mark.parametrize("call", few(["released", "detached", "attached", "opened"]))
def test_killed_promotion_is_rolled_back(
    moved: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str], call: str
) -> None:
    ctx, relay = relayed
    before = moved.production_ami()
    image = pair[1] if before == pair[0] else pair[0]
    with Writer(moved.address) as writer:
        run_and_kill(ctx, relay, CALLS[call], "promote", "--ami", image)
        assert ctx.ok("rollback").strip() == before
    assert_idle(moved, before)
    writer.check()


@pytest.mark.parametrize("call", few(RESTORE))
def test_killed_restore_is_completed_by_the_same_command(
    moved: Service, relayed: tuple[Workspace, Relay], call: str
) -> None:
    image = moved.production_ami()
    check_killed_restore(moved, *relayed, call)
    assert_idle(moved, image)


@pytest.mark.long
def test_source_terminated_during_the_switchover(
    moved: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str]
) -> None:
    ctx, relay = relayed
    image = pair[1] if moved.production_ami() == pair[0] else pair[0]
    (member,) = moved.status()["instances"]
    with Writer(moved.address) as writer:
        time.sleep(1)
        run_and_kill(ctx, relay, CALLS["detached"], "promote", "--ami", image)
        ec2 = moved.client("ec2")
        ec2.terminate_instances(InstanceIds=[member["id"]])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[member["id"]], WaiterConfig={"Delay": 1})
        ctx.ok("promote", "--ami", image)
    assert_idle(moved, image)
    writer.check()


@pytest.mark.long
def test_destroyed_fleet_is_created_again_with_its_data(moved: Service) -> None:
    image = moved.production_ami()
    with Writer(moved.address) as writer:
        time.sleep(1)
    moved.ctx.ok("fleet.destroy", "--yes")
    assert volume(moved)["State"] == "available"
    moved.address = moved.ctx.ok("fleet.create").strip().removeprefix("http://")
    assert_idle(moved, image)
    writer.check(moved.address)
