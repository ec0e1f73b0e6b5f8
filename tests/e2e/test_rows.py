"""Rows outlive instances: under a writer that never stops, every acknowledged row is there exactly once, whatever happens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from goldenami.model.fleet import SUSPENDED_WHILE_REPLACING
from tests.e2e import workspace
from tests.e2e.cases import few
from tests.e2e.relay import Relay
from tests.e2e.service import ILL, QUICK, Service, _unit
from tests.e2e.test_promote_crash import killed
from tests.e2e.workspace import Workspace, relayed_through
from tests.e2e.writer import Writer, entries

pytestmark = [pytest.mark.e2e, pytest.mark.data]

BUCKET = "goldenami-guestbook-123456789012-ap-northeast-2"
ILL["dies later"] = _unit("RuntimeMaxSec=25s")


@pytest.fixture(scope="module")
def kept(ctx: Workspace, baked: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A fleet of one that serves the guestbook and keeps its rows itself, as the recipe has it."""
    other = workspace.colleague(ctx, tmp_path_factory.mktemp("rows") / "kept")
    for old, new in QUICK.items():
        other.edit("golden.toml", old, new)
    address = other.ok("fleet.create", "--ami", baked).strip()
    found = Service(other, baked, address.removeprefix("http://"))
    yield found
    told = other.invoke("fleet.destroy", "--yes")
    assert told.returncode == 0, told.stderr
    assert "is in the backup" in told.stderr
    found.forget()
    assert other.leftovers() == []


def settled(service: Service, image: str, suspended: Collection[str] = SUSPENDED_WHILE_REPLACING) -> None:
    """One instance of this image serves, everything agrees, and nothing is left of a switchover."""
    assert service.running() == [image]
    assert service.pointer() == image
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


def test_a_promotion_and_a_rollback_carry_every_row(kept: Service) -> None:
    before, image = kept.pointer(), kept.image("well")
    with Writer(kept.address) as writer:
        kept.ctx.ok("promote", "--ami", image)
        settled(kept, image)
        after = len(writer.acknowledged)
        assert kept.ctx.ok("rollback").strip() == before
        assert len(writer.acknowledged) > after, "it went on between the two"
    settled(kept, before)
    writer.check()
    print(f"{len(writer.acknowledged)} rows, nobody could write for at most {writer.longest:.1f} s")


@pytest.mark.parametrize("kind", ["unit fails", "dies later"])
def test_a_bad_image_costs_no_row(kept: Service, kind: str) -> None:
    before, image = kept.pointer(), kept.image(kind)
    with Writer(kept.address) as writer:
        done = kept.ctx.invoke("promote", "--ami", image, "--watch", "40s")
        assert done.returncode == 5, done.stderr[-3000:]
        assert "The previous instance is in service with all data" in done.stderr
    settled(kept, before)
    writer.check()
    if kind == "unit fails":
        assert writer.refused == []
        assert writer.unsure == []


def test_backups_prove_themselves_and_restores_touch_nothing_that_they_should_not(
    kept: Service, tmp_path: Path
) -> None:
    with Writer(kept.address) as writer:
        made = kept.ctx.ok("db.backup", "--folder", str(tmp_path / "kept")).strip()
    kept.ctx.ok("db.verify", "--backup", made)
    assert made in [found["id"] for found in json.loads(kept.ctx.ok("db.list", "--json"))]
    before = entries(kept.address)
    refused = kept.ctx.invoke("db.restore", "--backup", made)
    assert refused.returncode == 5
    assert "--replace puts the backup in their place" in refused.stderr
    s3, bucket = kept.client("s3"), BUCKET
    key = f"guestbook/backups/{made}/dump"
    whole = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    for damaged in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1])):
        s3.put_object(Bucket=bucket, Key=key, Body=damaged)
        refused = kept.ctx.invoke("db.restore", "--backup", made, "--replace")
        assert refused.returncode == 5
        assert "is damaged" in refused.stderr
        assert "No changes were made" in refused.stderr
    assert entries(kept.address) == before
    with Writer(kept.address) as later:
        pass
    restored = kept.ctx.invoke("db.restore", "--folder", str(tmp_path / "kept"), "--replace")
    assert restored.returncode == 0, restored.stderr[-3000:]
    found = entries(kept.address)
    assert set(found) <= set(before)
    assert not set(found) & set(later.acknowledged)
    former = json.loads(kept.ctx.ok("db.list", "--json"))[-1]["id"]
    assert former.endswith("-before")
    kept.ctx.ok("db.restore", "--backup", former, "--replace")
    writer.check()
    later.check()


CALLS: dict[str, Callable[[str, str], bool]] = {
    "noted": lambda name, body: name == "PutParameter" and "/switchover" in body and "launching" in body,
    "launched": lambda name, _: name == "RunInstances",
    "suspended": lambda name, _: name == "SuspendProcesses",
    "moving": lambda name, body: name == "PutParameter" and "/switchover" in body and "moving" in body,
    "fenced": lambda name, body: name == "SendCommand" and "action=stop-writes" in body,
    "backed up": lambda name, body: name == "SendCommand" and "action=backup" in body,
    "restored": lambda name, body: name == "SendCommand" and "action=restore" in body,
    "adopted": lambda name, body: name == "SendCommand" and "action=swap-in" in body,
    "open": lambda name, body: name == "SendCommand" and "action=resume" in body,
    "opened": lambda name, body: name == "PutParameter" and "/switchover" in body and "opened" in body,
    "attached": lambda name, _: name == "AttachInstances",
    "detached": lambda name, _: name == "DetachInstances",
    "pointed": lambda name, body: name == "UpdateAutoScalingGroup" and "LaunchTemplate" in body,
    "terminated": lambda name, _: name == "TerminateInstances",
    "forgotten": lambda name, body: name == "DeleteParameter" and "/switchover" in body,
}


@pytest.fixture
def relayed(kept: Service, tmp_path: Path) -> Iterator[tuple[Workspace, Relay]]:
    """Another checkout whose calls all go through a relay."""
    with relayed_through(kept.ctx, tmp_path / "relayed") as both:
        yield both


@pytest.fixture(scope="module")
def pair(kept: Service) -> tuple[str, str]:
    """Two good images to go to and fro between."""
    return kept.good, kept.image("well")


@pytest.mark.parametrize("call", few(CALLS, "fenced", "attached", "terminated"))
def test_killed_at_any_step_the_next_promotion_finishes_it(
    kept: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str], call: str
) -> None:
    ctx, relay = relayed
    image = pair[1] if kept.pointer() == pair[0] else pair[0]
    with Writer(kept.address) as writer:
        killed(ctx, relay, CALLS[call], "promote", "--ami", image)
        result = json.loads(ctx.ok("promote", "--ami", image, "--json"))
    assert result["ami"] == image
    settled(kept, image)
    writer.check()
    assert len(set(entries(kept.address))) >= len(writer.acknowledged)


@pytest.mark.parametrize("call", ["fenced", "opened"])
def test_killed_at_a_step_a_rollback_takes_it_back(
    kept: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str], call: str
) -> None:
    ctx, relay = relayed
    before = kept.pointer()
    image = pair[1] if before == pair[0] else pair[0]
    with Writer(kept.address) as writer:
        killed(ctx, relay, CALLS[call], "promote", "--ami", image)
        assert ctx.ok("rollback").strip() == before
    settled(kept, before)
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
    "open": CALLS["open"],
    "resumed": lambda name, _: name == "ResumeProcesses",
    "ended": lambda name, body: name == "DeleteParameter" and "/write-freeze" in body,
}


def finished(service: Service, ctx: Workspace, relay: Relay, call: str) -> None:
    """A restore that is killed after a call: the same again finishes it, and what it has replaced is in a backup."""
    with Writer(service.address) as first:
        time.sleep(1)
    made = service.ctx.ok("db.backup").strip()
    again = ("db.restore", "--backup", made, "--replace")
    with Writer(service.address) as writer:
        time.sleep(1)
        killed(ctx, relay, RESTORE[call], *again)
        left = service.status()["drift"]
        assert any("writes are stopped on" in told for told in left) == (call != "ended"), left
        ctx.ok(*again)
        after = len(writer.acknowledged)
        deadline = time.monotonic() + 20
        while len(writer.acknowledged) == after:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    first.check()
    there = set(entries(service.address))
    kept = [one["id"] for one in json.loads(service.ctx.ok("db.list", "--json"))]
    for former in kept[kept.index(made) + 1 :]:
        service.ctx.ok("db.restore", "--backup", former, "--replace")
        there |= set(entries(service.address))
        first.check()
    assert set(writer.acknowledged) <= there
    print(f"{len(writer.acknowledged)} rows, nobody could write for at most {writer.longest:.1f} s")


# Where the instance has the rows, its group never does what a restore would have to suspend.
@pytest.mark.parametrize("call", few([one for one in RESTORE if one not in ("suspended", "resumed")], "adopted"))
def test_a_restore_that_was_killed_is_finished_by_the_same_again(
    kept: Service, relayed: tuple[Workspace, Relay], call: str
) -> None:
    image = kept.pointer()
    finished(kept, *relayed, call)
    settled(kept, image)


@pytest.mark.long
@pytest.mark.parametrize("call", ["fenced", "restored", "adopted"])
def test_a_promotion_after_a_killed_restore_lets_everybody_write_again(
    kept: Service, relayed: tuple[Workspace, Relay], pair: tuple[str, str], call: str
) -> None:
    ctx, relay = relayed
    image = pair[1] if kept.pointer() == pair[0] else pair[0]
    made = kept.ctx.ok("db.backup").strip()
    with Writer(kept.address) as writer:
        time.sleep(1)
        killed(ctx, relay, RESTORE[call], "db.restore", "--backup", made, "--replace")
        before = len(writer.acknowledged)
        ctx.ok("promote", "--ami", image)
        assert len(writer.acknowledged) > before
    settled(kept, image)
    if call != "adopted":  # what was there serves on
        writer.check()
