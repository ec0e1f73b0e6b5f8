"""Assessment of a fleet: served or not, what is under way, what differs, and one next command for each state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from goldenami.database.switchover_model import StorageChange, Switchover, WriteFreeze
from goldenami.fleet.model import Assessment, FleetObservation, ServiceProbe
from goldenami.fleet.status_plan import assess
from goldenami.model.fleet import SUSPENDED_WHILE_REPLACING, CanaryGroup, FleetState, InstanceRefresh
from goldenami.model.resources import Instance
from goldenami.state.lock_model import LockRecord
from tests.support.fleet_states import NEW, OLD, fleet_state, group, image, member, template
from tests.support.recipes import RDS, recipe

NOW = "2026-11-28T00:00:00+00:00"
LOCK = LockRecord("run", "promote guestbook-golden-v1.1", "kim@build", "", NOW, NOW)
OK = ServiceProbe("HTTP 200 from http://lb/health", succeeded=1)
BAD_GATEWAY = ServiceProbe("HTTP 502 from http://lb/health", failed=3)
NO_ROUTE = ServiceProbe("no answer from http://lb/health: timed out", answered=False)
FREEZE = WriteFreeze("run", "db.restore b", ("i-1",), since=NOW)
ONE = member(1, 1, state="running", image=OLD, launched="2026-11-27T23:00:00Z")
ALONE = {"suspended": SUSPENDED_WHILE_REPLACING, "max": 1}


def fleet(*members: Any, desired: int = 1, **more: Any) -> Any:
    more = {"max": 5, **more}
    return fleet_state(group=group(1, desired, members or (ONE,), **more))


def observation(**more: Any) -> FleetObservation:
    given: dict[str, Any] = {"fleet_state": fleet(), "probe": OK, "images": {OLD: image(OLD), NEW: image(NEW)}}
    return FleetObservation(**{**given, **more})


def assessed(keys: dict[str, Any] | None = None, **more: Any) -> Assessment:
    return assess(recipe(RDS if keys is None else keys), observation(**more))


def on_root_disk(*members: Any, **more: Any) -> Assessment:
    """The assessment of a fleet of one with its database on the root disk."""
    return assessed({"database.mode": "instance", "fleet.max": 1}, fleet_state=fleet(*members, **ALONE), **more)


def texts(assessment: Assessment) -> list[str]:
    return [drift.text for drift in assessment.drift]


def test_healthy_fleet_is_serving_and_needs_no_command() -> None:
    found = assessed()
    assert (found.state, found.drift, found.under_way, found.next) == ("serving", (), (), "")
    assert found.evidence == "HTTP 200 from http://lb/health; 1 of 1 instance(s) in service"
    assert (found.since, found.event) == ("2026-11-27T23:00:00Z", "i-1 launched")


def test_healthy_fleet_with_data_on_its_root_disk_has_no_drift() -> None:
    assert (on_root_disk().state, on_root_disk().drift) == ("serving", ())


def test_service_that_answers_502_does_not_serve_although_its_target_looks_healthy() -> None:
    found = assessed(probe=BAD_GATEWAY)
    assert (found.state, found.since) == ("not serving", "")
    assert found.evidence.startswith("HTTP 502 from http://lb/health")


def test_unreachable_service_counts_as_its_target_health_says_and_says_so() -> None:
    found = assessed(probe=NO_ROUTE)
    assert found.state == "serving"
    assert "1 of 1 instance(s) in service by the load balancer's target health" in found.evidence
    assert found.evidence.endswith("(not reachable from here)")
    assert assessed(probe=NO_ROUTE, fleet_state=fleet(replace(ONE, target="unhealthy"))).state == "not serving"


@pytest.mark.parametrize(
    "more",
    [
        {"probe": replace(OK, failed=1)},
        {"fleet_state": fleet(ONE, replace(ONE, id="i-2", target="unhealthy"), desired=2)},
        {"freeze": FREEZE},
        {"switchover": Switchover("run", "i-1", "i-2", "moving")},
    ],
)
def test_failed_requests_missing_instances_and_stopped_writes_are_degraded(more: Any) -> None:
    assert assessed(**more).state == "degraded"


def test_stopped_instance_is_named_with_the_time_that_ec2_knows() -> None:
    stopped = Instance("i-1", "stopped", OLD, "", "Client.UserInitiatedShutdown", changed="2026-11-27T23:10:00Z")
    found = on_root_disk(replace(ONE, state="stopped"), probe=None, stopped=(stopped,))
    assert (found.state, found.since, found.event) == ("not serving", "2026-11-27T23:10:00Z", "i-1 stopped")
    assert texts(found) == ["i-1 is stopped (Client.UserInitiatedShutdown); in the group it is InService"]
    assert found.next == "./invoke recover"


@pytest.mark.parametrize("members", [(replace(ONE, state="terminated"),), (replace(ONE, state=""),)])
def test_terminated_only_instance_leads_to_recover(members: Any) -> None:
    assert on_root_disk(*members, probe=BAD_GATEWAY).next == "./invoke recover"


def test_broken_only_instance_leads_to_recover() -> None:
    assert on_root_disk(replace(ONE, target="unhealthy"), probe=BAD_GATEWAY).next == "./invoke recover"


def test_unhealthy_instance_is_replaced_by_its_group_unless_that_is_suspended() -> None:
    unhealthy = replace(ONE, target="unhealthy")
    found = assessed(fleet_state=fleet(unhealthy), probe=BAD_GATEWAY)
    assert texts(found) == ["i-1 runs and does not serve (unhealthy): ./invoke logs --instance i-1 shows why"]
    assert found.next == "./invoke status"
    suspended = fleet(unhealthy, suspended=("ReplaceUnhealthy",))
    assert assessed(fleet_state=suspended, probe=BAD_GATEWAY).next == "./invoke fleet.create"


def test_empty_group_does_not_serve_since_its_latest_activity() -> None:
    empty = fleet_state(group=group(1, 1, (), max=5))
    found = assessed(fleet_state=empty, probe=BAD_GATEWAY, activity=("2026-11-27T23:20:00Z", "Terminating i-1"))
    assert (found.state, found.since, found.event) == ("not serving", "2026-11-27T23:20:00Z", "Terminating i-1")


def test_deregistered_images_are_drift_while_they_still_serve() -> None:
    found = assessed(images={NEW: image(NEW)})
    assert found.state == "serving"
    assert texts(found) == [f"{OLD} is in production, but was deregistered: no instance can be launched from it"]
    assert found.next == f"./invoke promote --ami {NEW}"
    assert assessed(images={}).next == "./invoke bake"


def test_image_that_was_rolled_back_is_not_the_next_one() -> None:
    rolled_back = image(NEW, tags={**image(NEW).tags, "goldenami:rolled-back": "2026-11-27 failed"})
    assert assessed(images={NEW: rolled_back}).next == "./invoke bake"


def test_deleted_production_parameter_is_drift() -> None:
    found = assessed(fleet_state=replace(fleet(), history=()))
    assert (texts(found), found.next) == (["the production parameter does not exist"], "./invoke fleet.create")


def test_deleted_group_is_created_again_from_an_image_that_exists() -> None:
    deleted = replace(fleet(), group=None)
    found = assessed(fleet_state=deleted, probe=None)
    assert (found.state, texts(found)) == ("not serving", ["the Auto Scaling group does not exist"])
    assert found.next == "./invoke fleet.create"
    assert assessed(fleet_state=deleted, images={NEW: image(NEW)}).next == f"./invoke fleet.create --ami {NEW}"
    assert assessed(fleet_state=deleted, images={}).next == "./invoke bake"


def test_deleted_group_whose_data_is_in_backups_leads_to_recover() -> None:
    deleted = replace(fleet(), group=None)
    assert assessed({"database.mode": "instance"}, fleet_state=deleted, probe=None).next == "./invoke recover"


def test_nothing_created_yet_leads_to_the_first_fleet_or_bake() -> None:
    nothing = FleetObservation(FleetState(), images={NEW: image(NEW)})
    keys = recipe({"database.mode": "instance"})
    assert assess(keys, nothing).next == f"./invoke fleet.create --ami {NEW}"
    assert assess(keys, replace(nothing, images={})).next == "./invoke bake"


def test_other_default_version_is_repaired_without_changing_the_image() -> None:
    other = replace(fleet(), template=template(OLD, NEW, default=2))
    found = assessed(fleet_state=other)
    assert f"the template's default version 2 has {NEW}, production is {OLD}" in texts(found)
    assert found.next == f"./invoke promote --ami {OLD}"


def test_uncommitted_promotion_is_rolled_back() -> None:
    other = replace(fleet(replace(ONE, version=2, image=NEW), max=5), template=template(OLD, NEW))
    assert assessed(fleet_state=other).next == "./invoke rollback"


def test_group_settings_that_differ_from_the_recipe_are_drift() -> None:
    found = assessed(fleet_state=fleet(max=9, suspended=("AddToLoadBalancer",)))
    assert texts(found) == [
        "guestbook-asg has the size 1 to 9, the recipe 1 to 5",
        "AddToLoadBalancer of guestbook-asg is suspended",
    ]
    resume = "aws autoscaling resume-processes --auto-scaling-group-name guestbook-asg --scaling-processes"
    assert [drift.fix for drift in found.drift] == ["./invoke fleet.create", f"{resume} AddToLoadBalancer"]


def test_group_that_would_replace_the_only_copy_of_the_data_is_drift() -> None:
    found = assessed({"database.mode": "instance", "fleet.max": 1}, fleet_state=fleet(max=1))
    processes = "AZRebalance, HealthCheck, ReplaceUnhealthy"
    assert texts(found) == [
        f"{processes} of guestbook-asg must be suspended: its instance has the only copy of the data"
    ]


def test_instance_in_standby_is_drift() -> None:
    found = assessed(fleet_state=fleet(ONE, replace(ONE, id="i-2", lifecycle="Standby")))
    assert texts(found) == ["i-2 is in Standby and does not serve"]
    assert found.next == "aws autoscaling exit-standby --instance-ids i-2 --auto-scaling-group-name guestbook-asg"


def test_missing_load_balancer_does_not_serve() -> None:
    found = assessed(missing_balancer="guestbook-alb")
    assert (found.state, found.next) == ("not serving", "./invoke fleet.create")


def test_promotion_in_progress_is_shown_with_its_holder_and_progress_and_not_as_drift() -> None:
    rolling = replace(
        fleet(ONE, replace(ONE, id="i-2", version=2, image=NEW)),
        template=template(OLD, NEW),
        refreshes=(InstanceRefresh("r-1", "InProgress", 2, 50),),
        canary=CanaryGroup(group(2, 1, (), name="guestbook-asg-canary"), 10),
    )
    found = assessed(fleet_state=rolling, lock=LOCK)
    assert (found.state, found.drift, found.next) == ("serving", (), "./invoke status")
    assert found.under_way == (
        f"promote guestbook-golden-v1.1, by kim@build since {NOW}",
        "instance refresh r-1 to version 2: InProgress, 50 %",
        "canary guestbook-asg-canary of version 2: 10 % of the requests, 0 of 1 instance(s) in service",
    )
    interrupted = assessed(fleet_state=rolling, lock=LOCK, lock_is_stale=True)
    assert interrupted.under_way[0].endswith("interrupted: its lock is stale")
    assert interrupted.next == "./invoke rollback"


def test_stopped_writes_are_told_with_what_resumes_them() -> None:
    (running,) = assessed(freeze=FREEZE, lock=LOCK).under_way[1:]
    assert running == f"writes are stopped on i-1 since {NOW} for db.restore b; db.restore b resumes them"
    found = assessed(freeze=FREEZE)
    assert found.under_way[0].endswith("for db.restore b; interrupted; ./invoke recover resumes them")
    assert found.next == "./invoke recover"


@pytest.mark.parametrize(
    ("change", "command"),
    [(None, "./invoke rollback"), (StorageChange("rds", "instance"), "./invoke db.migrate --to rds")],
)
def test_interrupted_switchover_is_resumed_by_the_command_that_knows_it(change: Any, command: str) -> None:
    found = assessed(switchover=Switchover("run", "i-1", "i-2", "opened", storage_change=change))
    assert "from i-1 to i-2: the new instance has the data; the primary is i-2; interrupted" in found.under_way[0]
    assert found.next == command


def test_change_in_place_is_named_and_needs_no_command() -> None:
    found = assessed(fleet_state=fleet(replace(ONE, drifted="updated to v2")))
    assert (texts(found), found.next) == (["i-1 was changed in place: updated to v2"], "")
