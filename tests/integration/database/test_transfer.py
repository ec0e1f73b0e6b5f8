"""Data on the root disk of the only instance: promotions killed after any call, and instances terminated meanwhile.

Machines are in memory; they do what the data script does.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from goldenami.aws import auto_scaling, images
from goldenami.database import recovery, restore as database_restore, transfer, verify
from goldenami.database.switchover_model import StorageChange
from goldenami.errors import DataError, GateError
from goldenami.fleet import instances as fleet_instances
from goldenami.model.fleet import SUSPENDED_WHILE_REPLACING
from goldenami.recipe.recipe import Recipe
from tests.e2e.cases import few
from tests.integration.database.test_volume import (
    RESTORED,
    Driver,
    Harbour,
    Machine,
    Quay,
    Told,
    Writer,
    back,
    end,
    ended,
    kept,
    killed,
    restore,
    saved,
    shared_fleet,
)
from tests.integration.promote.test_promote import pytestmark as promotions
from tests.support.cloud_server import eventually
from tests.support.recipes import recipe

pytestmark = promotions


class Keeper(Machine):
    """A machine that keeps its rows itself."""

    driver: Shelf

    @property
    def trusted(self) -> bool:
        return bool(self.rows)

    def boot(self) -> None:
        if self.on and self.id not in self.driver.fenced:
            self.open()

    def run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        if b"action=inspect\n" not in stdin:
            return super().run(argv, stdin, timeout)
        self.driver.asked.append(f"inspect {self.id}")
        told = {"server_running": True, "rows": len(self.rows), "bytes": 1, "major": self.major, "databases": 1}
        told |= {"fenced_by": "", "storage_mode": "instance", "unreadable": self.driver.unreadable}
        return 0, f"RESULT {json.dumps(told)}\n".encode(), b""

    def vault(self, action: str, script: str) -> str:
        if action == "restore" and "refuses" in self.serves:
            return "no space left on device"
        return super().vault(action, script)


class Shelf(Driver):
    """The rows of each machine are its own."""

    unreadable = ""  # why they cannot be counted

    def machine(self, spec: Any) -> Keeper:
        self.machines.append(Keeper(spec, self))
        return self.machines[-1]  # type: ignore[return-value]


class Wharf(Harbour):
    driver_type = Shelf


class Pier(Quay):
    """A fleet of one that keeps its rows itself."""

    def wanted(self) -> Recipe:
        return recipe()

    def serves(self, ami: str) -> None:
        """One instance of this image serves; nothing is left of a switchover, and nobody else runs."""
        eventually(lambda: [m.serving for m in self.fleet_state().group.members] == [True], 20)
        self.at_rest(ami)
        assert transfer.load(self.ctx()) is None
        group = self.fleet_state().group
        assert (group.min, group.max, group.desired, set(group.suspended)) == (1, 1, 1, set(SUSPENDED_WHILE_REPLACING))
        assert self.standing() == [self.machine().id]


class Clerk(Writer):
    """At the end each row that was acknowledged is on the one instance, once; but those that a disk has taken with it."""

    def check(self, lost: Sequence[int] = ()) -> None:
        kept = Counter(self.quay.machine().rows)
        assert self.acknowledged
        assert [number for number in self.acknowledged if kept[number] != 1 and number not in lost] == []


@pytest.fixture(scope="module")
def pier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pier]:
    with shared_fleet(tmp_path_factory.mktemp("pier"), Wharf, Pier) as fleet:
        yield fleet


CALLS = (
    *("PutParameter launching", "RunInstances", "SuspendProcesses", "PutParameter moving", "SendCommand read-only"),
    *("SendCommand backup", "SendCommand restore", "SendCommand swap-in", "SendCommand serve-read-only"),
    *("RegisterTargets", "DeregisterTargets", "SendCommand stop-service", "PutParameter opened"),
    *(
        "SendCommand open-writes",
        "AttachInstances",
        "DetachInstances",
        "ResumeProcesses",
        "TerminateInstances",
        "DeleteParameter switchover",
    ),
)


@pytest.mark.parametrize("name", few(CALLS, "SendCommand swap-in"))
def test_promote_killed_after_any_call_resumes(pier: Pier, name: str) -> None:
    image = pier.image("good")
    with Clerk(pier) as clerk:
        killed(pier, image, name)
        pier.promote(image)
    pier.serves(image)
    clerk.check()


@pytest.mark.parametrize("name", few(CALLS[3:18], "PutParameter opened"))
def test_promote_killed_after_any_call_rolls_back(pier: Pier, name: str) -> None:
    before, image = pier.running(), pier.image("good")
    with Clerk(pier) as clerk:
        killed(pier, image, name)
        assert back(pier) == before
    pier.serves(before)
    clerk.check()


def test_interrupted_watch_is_repeated_whole_before_the_commit(pier: Pier) -> None:
    image = pier.image("good")
    killed(pier, image, "AttachInstances")
    resumed = time.monotonic()
    result = pier.promote(image, watch=6)
    assert time.monotonic() - resumed >= 6
    kinds = [event.kind for event in result.timeline.events]
    assert kinds.index("resumed") < kinds.index("healthy") < kinds.index("watched") < kinds.index("committed")
    pier.serves(image)


def test_resumed_promotion_that_fails_its_watch_keeps_the_rows_of_today(pier: Pier) -> None:
    before, bad = pier.running(), pier.image("bad late")
    with Clerk(pier) as clerk:
        killed(pier, bad, "AttachInstances")
        with pytest.raises(GateError, match="failed the health gate"):
            pier.promote(bad, watch=8)
    pier.serves(before)
    clerk.check()


@pytest.mark.parametrize("ill", few(["sick", "mute", "late", "refuses"]))
def test_bad_image_loses_no_row(pier: Pier, ill: str) -> None:
    before, bad = pier.running(), pier.image(f"bad {ill}")
    with Clerk(pier) as clerk, pytest.raises(GateError) as caught:
        pier.promote(bad, watch=4)
    assert "The previous instance is in service with all data" in str(caught.value.state)
    pier.serves(before)
    clerk.check()


def test_image_that_needs_writes_serves_after_the_old_instance_has_stopped(pier: Pier) -> None:
    image = pier.image("good writes")
    with Clerk(pier) as clerk:
        pier.promote(image)
    pier.serves(image)
    clerk.check()


def test_instance_unhealthy_during_a_restore_is_kept(pier: Pier) -> None:
    before, machine = pier.running(), pier.machine()
    machine.sick = True
    eventually(lambda: [m.target for m in pier.fleet_state().group.members] == ["unhealthy"], 20)
    time.sleep(1)  # the group looks at all its members meanwhile
    machine.sick = False
    pier.serves(before)
    assert pier.machine() is machine


BEFORE = tuple(name for name in RESTORED if name not in ("SuspendProcesses", "ResumeProcesses"))


def test_terminate_backs_up_every_row(pier: Pier) -> None:
    image, old = pier.running(), pier.machine()
    with Writer(pier) as writer:
        eventually(lambda: len(writer.acknowledged) > 3)
    fleet_instances.terminate(pier.ctx(), old.id, decrement=False, force=True, lose_data=False)
    eventually(lambda: [m.id != old.id and m.serving for m in pier.fleet_state().group.members] == [True], 20)
    pier.serves(image)
    assert set(writer.acknowledged) <= saved(pier)


def test_rows_that_cannot_be_counted_are_neither_replaced_nor_terminated(pier: Pier) -> None:
    image, before, driver = pier.image("good"), pier.running(), pier.driver
    assert isinstance(driver, Shelf)
    identity, instance = kept(pier), pier.machine().id
    wire, driver.unreadable = Told((ctx := pier.ctx()).aws), "the disk is damaged"
    try:
        with pytest.raises(GateError, match="cannot be read, so its data cannot be transferred: the disk is damaged"):
            pier.promote(image)
        with pytest.raises(GateError, match=r"has a database that cannot be read \(the disk is damaged\); --replace"):
            database_restore.restore(ctx, identity, "", "", replace=False)
    finally:
        driver.unreadable = ""
    assert "SendCommand stop-writes" not in wire.calls
    pier.serves(before)
    assert pier.machine().id == instance


def test_restore_ends_when_the_instance_is_in_service(pier: Pier) -> None:
    made, before, ctx = database_restore.back_up(pier.ctx(), "", "", own=False, why=""), pier.running(), pier.ctx()
    wire = Told(ctx.aws)
    restore(ctx, made.id)
    assert [m.serving for m in pier.fleet_state().group.members] == [True], "also to its balancer"
    assert [name for name in RESTORED if name in wire.calls] == list(BEFORE), "it need not keep the group from anything"
    pier.serves(before)


@pytest.mark.parametrize("name", few(BEFORE, "PutParameter swapping-in"))
def test_killed_restore_is_completed_by_the_same_command(pier: Pier, name: str) -> None:
    before = pier.running()
    with Clerk(pier) as clerk:
        eventually(lambda: len(clerk.acknowledged) > 3)
    made = database_restore.back_up(pier.ctx(), "", "", own=False, why="")
    with Clerk(pier) as later:
        ended(pier, name, lambda ctx: restore(ctx, made.id))
        restore(pier.ctx(), made.id)
    pier.serves(before)
    clerk.check()
    assert set(later.acknowledged) <= set(pier.machine().rows) | saved(pier)


@pytest.mark.parametrize("name", few(CALLS[3:17], "AttachInstances"))
def test_terminated_target_fails_over_to_the_source(pier: Pier, name: str) -> None:
    image = pier.image("good")
    with Clerk(pier) as clerk:
        killed(pier, image, name)
        switchover = transfer.load(pier.ctx())
        assert switchover is not None
        end(pier, switchover.target)
        # Its disk has taken with it what was written after the switchover, which is what such a disk does; nothing else.
        lost = list(pier.driver.kept.get(switchover.target, ()) if switchover.data_arrived else ())
        lost = [number for number in lost if number not in pier.driver.kept[switchover.source]]
        pier.promote(image)
    pier.serves(image)
    clerk.check(lost)


@pytest.mark.parametrize("name", few(CALLS[6:13], "SendCommand restore"))
def test_terminated_source_fails_over_to_the_target(pier: Pier, name: str) -> None:
    image, old = pier.image("good"), pier.machine().id
    with Clerk(pier) as clerk:
        killed(pier, image, name)
        end(pier, old)
        pier.promote(image)
    pier.serves(image)
    clerk.check()


def test_group_replaces_source_terminated_before_the_transfer_from_rds(pier: Pier) -> None:
    image, old, ctx = pier.image("good"), pier.machine().id, pier.ctx()
    killed(pier, image, "SendCommand read-only")
    switchover = transfer.load(ctx)
    assert switchover is not None
    # As a migration from a server writes it down: its group replaces instances by itself.
    transfer.save(ctx, replace(switchover, storage_change=StorageChange("instance", "rds"), suspended=()))
    end(pier, old)
    recovery.recover(ctx)
    eventually(lambda: [m.id != old and m.serving for m in pier.fleet_state().group.members] == [True], 20)
    assert transfer.load(ctx) is None
    assert pier.standing() == [pier.machine().id]
    auto_scaling.suspend(ctx.aws, ctx.names.group, SUSPENDED_WHILE_REPLACING)


def test_backup_that_cannot_be_restored_is_not_booked_against_the_image(pier: Pier) -> None:
    before, image = pier.running(), pier.image("bad refuses")
    with pytest.raises(DataError, match=r"because of its data, not of the image: .*no space left on device"):
        pier.promote(image, watch=4)
    found = images.get(pier.ctx().aws, image)
    assert found is not None
    assert "goldenami:rolled-back" not in found.tags
    pier.serves(before)


def test_verify_restores_a_backup_and_refuses_another_content(pier: Pier) -> None:
    ctx, before, machine = pier.ctx(), pier.running(), pier.machine()
    with Clerk(pier) as clerk:
        eventually(lambda: len(clerk.acknowledged) > 3)
    manifest = database_restore.back_up(ctx, "", "", own=False, why="")
    assert f"{manifest.id} restores: {manifest.fingerprint.rows} row(s)" in verify.verify_by_restoring(ctx, manifest)
    assert verify.verify_newest(ctx).startswith(manifest.id)
    machine.serves += " forgets"
    with pytest.raises(DataError, match=r"differs: table public\.entries had"):
        verify.verify_by_restoring(ctx, manifest)
    assert verify.verify_newest(ctx).startswith("FAILED")
    machine.serves = machine.serves.removesuffix(" forgets")
    pier.serves(before)
    clerk.check()


def test_data_lost_without_backup_is_reported(pier: Pier) -> None:
    image, old = pier.image("good"), pier.machine().id
    with Clerk(pier):
        killed(pier, image, "SendCommand read-only")
    end(pier, old)
    with pytest.raises(GateError, match="was terminated, and its disk with all data: its backup was not complete"):
        pier.promote(image)
    assert transfer.load(pier.ctx()) is None
    assert pier.standing() == []
