"""Data on the root disk: under a continuous writer every acknowledged row exists exactly once after each replacement."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from goldenami.model.fleet import SUSPENDED_WHILE_REPLACING
from tests.e2e import workspace
from tests.e2e.cases import few
from tests.e2e.reader import Reader
from tests.e2e.relay import Relay
from tests.e2e.service import FAST_SETTINGS, VARIANTS, Service, _unit
from tests.e2e.test_promote_crash import run_and_kill
from tests.e2e.workspace import Workspace, relayed_through
from tests.e2e.writer import Writer, entries

pytestmark = [pytest.mark.e2e, pytest.mark.data]

BUCKET = "goldenami-guestbook-123456789012-ap-northeast-2"
VARIANTS["dies later"] = _unit("RuntimeMaxSec=25s")


@pytest.fixture(scope="module")
def guestbook(ctx: Workspace, baked: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Fleet of one that serves the guestbook with its data on the root disk, as in the recipe."""
    other = workspace.copy_checkout(ctx, tmp_path_factory.mktemp("rows") / "guestbook")
    for old, new in FAST_SETTINGS.items():
        other.edit("golden.toml", old, new)
    address = other.ok("fleet.create", "--ami", baked).strip()
    found = Service(other, baked, address.removeprefix("http://"))
    yield found
    done = other.invoke("fleet.destroy", "--yes")
    assert done.returncode == 0, done.stderr
    assert "is in the backup" in done.stderr
    found.clean_up()
    assert other.leftovers() == []


def assert_idle(service: Service, image: str, suspended: Collection[str] = SUSPENDED_WHILE_REPLACING) -> None:
    """Check that one instance of this image serves, without drift and without an unfinished switchover."""
    assert service.running_amis() == [image]
    assert service.production_ami() == image
    status = service.status()
    assert (status["drift"], status["lock"]) == ([], None)
    names = [p["Name"] for p in service.client("ssm").describe_parameters()["Parameters"]]
    assert "/goldenami/guestbook/switchover" not in names
    group = service.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    assert (group["MinSize"], group["MaxSize"], group["DesiredCapacity"]) == (1, 1, 1)
    assert {p["ProcessName"] for p in group["SuspendedProcesses"]} == set(suspended)
    found = service.client("ec2").describe_instances(
        Filters=[
            {"Name": "tag:goldenami:fleet", "Values": ["guestbook"]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
    )
    assert len([i for r in found["Reservations"] for i in r["Instances"]]) == 1


def test_promotion_and_rollback_transfer_every_row(guestbook: Service) -> None:
    before, image = guestbook.production_ami(), guestbook.image("healthy")
    with Writer(guestbook.address) as writer, Reader(guestbook.address) as reader:
        promoted = guestbook.ctx.invoke("promote", "--ami", image)
        assert promoted.returncode == 0, promoted.stderr[-3000:]
        assert re.search(r"is in service; read-only [\d.]+ s, unavailable [\d.]+ s", promoted.stderr)
        assert_idle(guestbook, image)
        after = len(writer.acknowledged)
        assert guestbook.ctx.ok("rollback").strip() == before
        assert len(writer.acknowledged) > after, "writes continue between the two"
    assert_idle(guestbook, before)
    writer.check()
    reader.check(longest=20)  # on a busy machine; benchmarks/promote.py measures a quiet one
    print(
        f"{len(writer.acknowledged)} rows, longest time without writes {writer.longest:.1f} s,"
        f" without answers {reader.longest:.1f} s"
    )


@pytest.mark.parametrize("kind", ["unit fails", "dies later"])
def test_unhealthy_image_loses_no_row(guestbook: Service, kind: str) -> None:
    before, image = guestbook.production_ami(), guestbook.image(kind)
    with Writer(guestbook.address) as writer:
        done = guestbook.ctx.invoke("promote", "--ami", image, "--watch", "40s")
        assert done.returncode == 5, done.stderr[-3000:]
        assert "The previous instance is in service with all data" in done.stderr
    assert_idle(guestbook, before)
    writer.check()
    if kind == "unit fails":
        assert writer.refused == []
        assert writer.unsure == []


def test_backup_is_verified_and_restore_replaces_only_on_request(guestbook: Service, tmp_path: Path) -> None:
    with Writer(guestbook.address) as writer:
        made = guestbook.ctx.ok("db.backup", "--folder", str(tmp_path / "guestbook")).strip()
    guestbook.ctx.ok("db.verify", "--backup", made)
    assert made in [found["id"] for found in json.loads(guestbook.ctx.ok("db.list", "--json"))]
    before = entries(guestbook.address)
    refused = guestbook.ctx.invoke("db.restore", "--backup", made)
    assert refused.returncode == 5
    assert "--replace backs them up and replaces them with the backup" in refused.stderr
    s3, bucket = guestbook.client("s3"), BUCKET
    key = f"guestbook/backups/{made}/dump"
    whole = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    for damaged in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1])):
        s3.put_object(Bucket=bucket, Key=key, Body=damaged)
        refused = guestbook.ctx.invoke("db.restore", "--backup", made, "--replace")
        assert refused.returncode == 5
        assert "is damaged" in refused.stderr
        assert "No changes were made" in refused.stderr
    assert entries(guestbook.address) == before
    with Writer(guestbook.address) as later:
        pass
    restored = guestbook.ctx.invoke("db.restore", "--folder", str(tmp_path / "guestbook"), "--replace")
    assert restored.returncode == 0, restored.stderr[-3000:]
    found = entries(guestbook.address)
    assert set(found) <= set(before)
    assert not set(found) & set(later.acknowledged)
    former = json.loads(guestbook.ctx.ok("db.list", "--json"))[-1]["id"]
    assert former.endswith("-before")
    guestbook.ctx.ok("db.restore", "--backup", former, "--replace")
    writer.check()
    later.check()


CALLS: dict[str, Callable[[str, str], bool]] = {
    "noted": lambda name, body: name == "PutParameter" and "/switchover" in body and "launching" in body,
    "launched": lambda name, _: name == "RunInstances",
    "suspended": lambda name, _: name == "SuspendProcesses",
    "moving": lambda name, body: name == "PutParameter" and "/switchover" in body and "moving" in body,
    "fenced": lambda name, body: name == "SendCommand" and ("action=read-only" in body or "action=stop-writes" in body),
    "backed up": lambda name, body: name == "SendCommand" and "action=backup" in body,
    "restored": lambda name, body: name == "SendCommand" and "action=restore" in body,
    "adopted": lambda name, body: name == "SendCommand" and "action=swap-in" in body,
    "ready": lambda name, body: name == "SendCommand" and "action=serve-read-only" in body,
    "registered": lambda name, _: name == "RegisterTargets",
    "deregistered": lambda name, _: name == "DeregisterTargets",
    "stopped": lambda name, body: name == "SendCommand" and "action=stop-service" in body,
    "opened": lambda name, body: name == "PutParameter" and "/switchover" in body and "opened" in body,
    "open": lambda name, body: name == "SendCommand" and "action=open-writes" in body,
    "attached": lambda name, _: name == "AttachInstances",
    "detached": lambda name, _: name == "DetachInstances",
    "pointed": lambda name, body: name == "UpdateAutoScalingGroup" and "LaunchTemplate" in body,
    "terminated": lambda name, _: name == "TerminateInstances",
    "forgotten": lambda name, body: name == "DeleteParameter" and "/switchover" in body,
}


@pytest.fixture
def relayed(guestbook: Service, tmp_path: Path) -> Iterator[tuple[Workspace, Relay]]:
    """Another checkout whose API calls go through the relay."""
    with relayed_through(guestbook.ctx, tmp_path / "relayed") as both:
        yield both


@pytest.fixture(scope="module")
def pair(guestbook: Service) -> tuple[str, str]:
    """Two healthy images to switch between."""
    return guestbook.good, guestbook.image("healthy")


@pytest.mark.parametrize("call", few(CALLS, "fenced", "deregistered", "open", "terminated"))
def test_killed_promotion_is_completed_by_the_next(
    guestbook: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str], call: str
) -> None:
    ctx, relay = relayed
    image = pair[1] if guestbook.production_ami() == pair[0] else pair[0]
    with Writer(guestbook.address) as writer:
        run_and_kill(ctx, relay, CALLS[call], "promote", "--ami", image)
        result = json.loads(ctx.ok("promote", "--ami", image, "--json"))
    assert result["ami"] == image
    assert_idle(guestbook, image)
    writer.check()
    assert len(set(entries(guestbook.address))) >= len(writer.acknowledged)


@pytest.mark.parametrize("call", ["fenced", "opened"])
def test_killed_promotion_is_rolled_back(
    guestbook: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str], call: str
) -> None:
    ctx, relay = relayed
    before = guestbook.production_ami()
    image = pair[1] if before == pair[0] else pair[0]
    with Writer(guestbook.address) as writer:
        run_and_kill(ctx, relay, CALLS[call], "promote", "--ami", image)
        assert ctx.ok("rollback").strip() == before
    assert_idle(guestbook, before)
    writer.check()


RESTORE: dict[str, Callable[[str, str], bool]] = {
    "paused": lambda name, body: name == "PutParameter" and "/write-freeze" in body and 'swapping_in\\": false' in body,
    "suspended": CALLS["suspended"],
    "fenced": CALLS["fenced"],
    "backed up": CALLS["backed up"],
    "restored": CALLS["restored"],
    "arriving": lambda name, body: (
        name == "PutParameter" and "/write-freeze" in body and 'swapping_in\\": true' in body
    ),
    "adopted": CALLS["adopted"],
    "open": lambda name, body: name == "SendCommand" and "action=resume" in body,
    "resumed": lambda name, _: name == "ResumeProcesses",
    "ended": lambda name, body: name == "DeleteParameter" and "/write-freeze" in body,
}


def check_killed_restore(service: Service, ctx: Workspace, relay: Relay, call: str) -> None:
    """Kill a restore after a call; check that the same command completes it and that the replaced data is in a backup."""
    with Writer(service.address) as first:
        time.sleep(1)
    made = service.ctx.ok("db.backup").strip()
    again = ("db.restore", "--backup", made, "--replace")
    with Writer(service.address) as writer:
        time.sleep(1)
        run_and_kill(ctx, relay, RESTORE[call], *again)
        under_way = service.status()["under_way"]
        assert any("writes are stopped on" in line for line in under_way) == (call != "ended"), under_way
        ctx.ok(*again)
        after = len(writer.acknowledged)
        deadline = time.monotonic() + 20
        while len(writer.acknowledged) == after:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    first.check()
    there = set(entries(service.address))
    backups = [one["id"] for one in json.loads(service.ctx.ok("db.list", "--json"))]
    for former in backups[backups.index(made) + 1 :]:
        service.ctx.ok("db.restore", "--backup", former, "--replace")
        there |= set(entries(service.address))
        first.check()
    assert set(writer.acknowledged) <= there
    print(f"{len(writer.acknowledged)} rows, longest write downtime {writer.longest:.1f} s")


# With the data on the instance, the group's self-healing is always suspended.
@pytest.mark.parametrize("call", few([one for one in RESTORE if one not in ("suspended", "resumed")], "adopted"))
def test_killed_restore_is_completed_by_the_same_command(
    guestbook: Service, relayed: tuple[Workspace, Relay], call: str
) -> None:
    image = guestbook.production_ami()
    check_killed_restore(guestbook, *relayed, call)
    assert_idle(guestbook, image)


@pytest.mark.long
@pytest.mark.parametrize("call", ["fenced", "restored", "adopted"])
def test_promotion_after_a_killed_restore_resumes_writes(
    guestbook: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str], call: str
) -> None:
    ctx, relay = relayed
    image = pair[1] if guestbook.production_ami() == pair[0] else pair[0]
    made = guestbook.ctx.ok("db.backup").strip()
    with Writer(guestbook.address) as writer:
        time.sleep(1)
        run_and_kill(ctx, relay, RESTORE[call], "db.restore", "--backup", made, "--replace")
        before = len(writer.acknowledged)
        ctx.ok("promote", "--ami", image)
        assert len(writer.acknowledged) > before
    assert_idle(guestbook, image)
    if call != "adopted":  # the previous data remains
        writer.check()
