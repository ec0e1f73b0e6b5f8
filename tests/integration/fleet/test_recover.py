"""Recovery of a fleet of one that does not serve, with the database on its root disk. Machines are in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from goldenami.database import agent, backup as database_backup, restore as database_restore, transfer
from goldenami.errors import GateError
from goldenami.fleet import recover, recover_report
from goldenami.fleet.recover import RecoverOptions
from goldenami.fleet.recover_plan import RecoverResult
from goldenami.model.names import prefix
from tests.e2e.cases import few
from tests.integration.database.test_transfer import Keeper, Pier, Wharf
from tests.integration.database.test_volume import Machine, end, ended, shared_fleet
from tests.integration.promote.test_promote import pytestmark as promotions
from tests.support.cloud_server import eventually

pytestmark = promotions


@pytest.fixture(scope="module")
def pier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pier]:
    with shared_fleet(tmp_path_factory.mktemp("pier"), Wharf, Pier) as fleet:
        yield fleet


def run(pier: Pier, *, lose_data: bool = False) -> RecoverResult:
    return recover.recover(pier.ctx(), RecoverOptions(lose_data=lose_data))


def plan(pier: Pier) -> str:
    ctx = pier.ctx()
    return recover_report.preflight(ctx, recover.preflight(ctx, RecoverOptions())).text


def rows(pier: Pier, *numbers: int) -> Machine:
    """Put rows on the machine that serves."""
    machine = pier.machine()
    pier.driver.kept[machine.id] = list(numbers)
    return machine


def back_up(pier: Pier) -> str:
    return database_restore.back_up(pier.ctx(), "", "", own=False, why="").id


def test_recover_leaves_a_fleet_in_service_alone(pier: Pier) -> None:
    before = rows(pier, 1, 2)
    assert "nothing to do" in plan(pier)
    assert run(pier).plan.action == "none"
    assert pier.machine() is before


def test_terminated_instance_is_replaced_with_the_newest_backup(pier: Pier) -> None:
    image, old = pier.running(), rows(pier, 1, 2, 3)
    backup = back_up(pier)
    rows(pier, 1, 2, 3, 4)
    end(pier, old.id)
    text = plan(pier)
    assert "3 row(s) of " in text
    assert f"(backup {backup}); what was written after that is lost" in text
    result = run(pier)
    pier.serves(image)
    assert pier.machine().rows == [1, 2, 3]
    assert result.backup is not None
    assert result.backup.id == backup


def test_stopped_instance_is_started_and_keeps_its_rows(pier: Pier) -> None:
    image, old = pier.running(), rows(pier, 1, 2, 3, 4, 5)
    pier.town.ec2.stop_instances(InstanceIds=[old.id])
    eventually(lambda: pier.town.instance(old.id)["State"]["Name"] == "stopped", 20)
    assert f"start {old.id}, whose disk has the rows" in plan(pier)
    assert run(pier).plan.action == "start"
    pier.serves(image)
    assert pier.machine().id == old.id
    assert pier.machine().rows == [1, 2, 3, 4, 5]


def test_broken_service_is_replaced_with_the_rows_of_now(pier: Pier) -> None:
    image, old = pier.running(), rows(pier, 6, 7)
    old.sick = True
    eventually(lambda: not any(m.serving for m in pier.fleet_state().group.members), 20)
    result = run(pier)
    pier.serves(image)
    assert pier.machine().id != old.id
    assert pier.machine().rows == [6, 7]
    assert "none is missing" in recover_report.recovered(result).summary


def test_unreadable_rows_are_given_up_only_when_asked(pier: Pier, monkeypatch: pytest.MonkeyPatch) -> None:
    image, old = pier.running(), rows(pier, 8)
    back_up(pier)
    rows(pier, 8, 9)
    broken = {old.id}
    answer = Keeper.run

    def run_command(machine: Keeper, argv: Sequence[str], stdin: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        return (1, b"", b"ERROR no disk") if machine.id in broken else answer(machine, argv, stdin, timeout)

    monkeypatch.setattr(Keeper, "run", run_command)
    monkeypatch.setattr(Keeper, "sick", property(lambda machine: machine.id in broken, lambda *_: None))
    eventually(lambda: not any(m.serving for m in pier.fleet_state().group.members), 20)
    with pytest.raises(GateError, match=f"the rows of {old.id}, which cannot be read") as caught:
        run(pier)
    assert caught.value.next == "./invoke recover --lose-data"
    assert pier.standing() == [old.id]
    run(pier, lose_data=True)
    pier.serves(image)
    assert pier.machine().rows == [8]


CALLS = (
    *("PutParameter launching", "RunInstances", "PutParameter moving", "SendCommand restore", "SendCommand swap-in"),
    *("SendCommand resume", "PutParameter opened", "AttachInstances", "DetachInstances", "DeleteParameter switchover"),
)


@pytest.mark.parametrize("name", few(CALLS, "SendCommand swap-in", "AttachInstances"))
def test_killed_recovery_is_repeated(pier: Pier, name: str) -> None:
    image, old = pier.running(), rows(pier, 1, 2)
    back_up(pier)
    end(pier, old.id)
    ended(pier, name, lambda ctx: recover.recover(ctx, RecoverOptions()))
    run(pier)
    pier.serves(image)
    assert pier.machine().rows == [1, 2]
    assert transfer.load(pier.ctx()) is None


def test_deleted_group_is_created_again_with_the_rows(pier: Pier) -> None:
    image = pier.running()
    rows(pier, 1, 2, 3)
    back_up(pier)
    pier.town.autoscaling.delete_auto_scaling_group(AutoScalingGroupName="guestbook-asg", ForceDelete=True)
    there = pier.town.autoscaling.describe_auto_scaling_groups
    eventually(lambda: not there()["AutoScalingGroups"] and not pier.standing(), 20)
    run(pier)
    pier.serves(image)
    assert pier.machine().rows == [1, 2, 3]


def test_deregistered_image_is_replaced_by_the_newest_good_one(pier: Pier) -> None:
    image, old = pier.running(), rows(pier, 1, 2)
    good, bad = pier.image("good"), pier.image("bad")
    pier.town.ec2.create_tags(Resources=[bad], Tags=[{"Key": "goldenami:rolled-back", "Value": "it failed"}])
    back_up(pier)
    pier.town.ec2.deregister_image(ImageId=image)
    end(pier, old.id)
    result = run(pier)
    assert f"{image}, which is in production, is not available any more" in result.image_note
    pier.serves(good)
    assert pier.machine().rows == [1, 2]


def test_instance_that_serves_an_empty_database_gets_the_backup(pier: Pier) -> None:
    image = pier.running()
    rows(pier, 1, 2)
    back_up(pier)
    rows(pier)
    assert run(pier).plan.action == "restore"
    pier.serves(image)
    assert pier.machine().rows == [1, 2]


def test_without_a_backup_an_empty_database_needs_a_word(pier: Pier) -> None:
    old, ctx = pier.machine(), pier.ctx()
    for backup in database_backup.list_backups(ctx):
        key = f"{prefix(ctx.name, backup.id)}/manifest.json"
        ctx.aws.client("s3").delete_object(Bucket=agent.backup_bucket(ctx), Key=key)
    end(pier, old.id)
    with pytest.raises(GateError, match="there is no backup that can be restored"):
        run(pier)
    run(pier, lose_data=True)
    eventually(lambda: [m.serving for m in pier.fleet_state().group.members] == [True], 20)
    assert pier.machine().rows == []
