"""What a recovery does in each state of the fleet, and whose rows it uses."""

from __future__ import annotations

from dataclasses import replace

from goldenami.database.guard_plan import InstanceData
from goldenami.fleet.recover_plan import RecoveryInstance, RecoveryState, plan_recovery
from goldenami.model.image import VERIFIED, Image
from tests.unit.database.test_backup import MANIFEST

IMAGE = Image("ami-1", "guestbook-golden-v1.0", "available", "x86_64", "2026-01-01T00:00:00Z", tags={VERIFIED: "now"})
DATA = InstanceData("i-1", server_running=True, rows=3, major=15, databases=1)
DEAF = InstanceData("i-1", reachable=False, reason="the instance is not managed by Systems Manager")
LOST = RecoveryState("instance", (), 1, members=("i-1",), image=IMAGE, backup=MANIFEST)


def one(state: str, data: InstanceData | None = None, *, serving: bool = False) -> tuple[RecoveryInstance, ...]:
    return (RecoveryInstance("i-1", state, serving, data),)


def test_instance_in_service_with_rows_is_left_alone() -> None:
    assert plan_recovery(replace(LOST, instances=one("running", DATA, serving=True))).action == "none"


def test_instance_in_service_without_rows_gets_the_backup() -> None:
    plan = plan_recovery(replace(LOST, instances=one("running", replace(DATA, rows=0), serving=True)))
    assert (plan.action, plan.rows) == ("restore", "backup")


def test_terminated_instance_is_replaced_with_the_backup() -> None:
    plan = plan_recovery(LOST)
    assert (plan.action, plan.instances, plan.rows, plan.losses) == ("replace", ("i-1",), "backup", ())


def test_without_a_backup_all_rows_are_a_loss_to_confirm() -> None:
    plan = plan_recovery(replace(LOST, backup=None))
    assert plan.rows == "none"
    assert "there is no backup that can be restored" in plan.losses[0]


def test_stopped_instance_is_started_once() -> None:
    stopped = replace(LOST, instances=one("stopped"))
    assert plan_recovery(stopped).action == "start"
    plan = plan_recovery(replace(stopped, restarted=True))
    assert (plan.action, plan.rows) == ("replace", "backup")
    assert plan.losses == ("the rows of i-1, which cannot be read: the instance is stopped",)


def test_broken_service_keeps_the_rows_of_the_instance() -> None:
    plan = plan_recovery(replace(LOST, instances=one("running", DATA)))
    assert (plan.action, plan.rows, plan.losses) == ("replace", "instance", ())


def test_unreadable_rows_are_a_loss_only_after_a_restart() -> None:
    deaf = replace(LOST, instances=one("running", DEAF))
    assert plan_recovery(deaf).action == "restart"
    plan = plan_recovery(replace(deaf, restarted=True))
    assert (plan.action, plan.rows) == ("replace", "backup")
    assert "not managed by Systems Manager" in plan.losses[0]


def test_several_databases_are_refused() -> None:
    both = (*one("running", DATA), RecoveryInstance("i-2", "running", serving=False, data=DATA))
    assert "the authoritative copy is unknown: i-1, i-2" in plan_recovery(replace(LOST, instances=both)).blockers[0]


def test_instance_of_an_external_database_is_replaced_without_losses() -> None:
    plan = plan_recovery(replace(LOST, mode="rds", backup=None))
    assert (plan.action, plan.rows, plan.losses) == ("replace", "external", ())


def test_volume_is_attached_to_the_new_instance_and_a_lost_one_is_created_again() -> None:
    state = replace(LOST, mode="volume", instances=one("stopped"))
    assert (plan_recovery(state).rows, plan_recovery(state).losses) == ("volume", ())
    assert plan_recovery(replace(state, volume_lost=True, snapshot="2026-01-01T00:00")).rows == "volume"
    assert plan_recovery(replace(state, volume_lost=True)).rows == "backup"


def test_no_image_to_launch_is_refused() -> None:
    assert "there is no image to launch" in plan_recovery(replace(LOST, image=None)).blockers[0]
