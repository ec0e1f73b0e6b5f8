"""A migration is blocked if the data cannot arrive complete; its record always knows which copy is authoritative."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from goldenami.database.guard_plan import InstanceData
from goldenami.database.survey_model import DatabaseSurvey
from goldenami.database.switchover_model import StorageChange, Switchover
from goldenami.migrate import plan as migrate_plan
from goldenami.migrate.plan import MigrationSurvey
from goldenami.model import image as model_image
from goldenami.model.fleet import (
    SUSPENDED_WHILE_REPLACING,
    AutoScalingGroup,
    FleetState,
    LaunchTemplate,
    LaunchTemplateVersion,
)
from goldenami.model.image import Image
from goldenami.promote.blockers_plan import blockers
from goldenami.promote.plan import plan_promotion
from goldenami.rollout.request_model import RolloutRequest
from goldenami.state import records
from tests.support.recipes import RDS, recipe

IMAGE = Image(
    "ami-1",
    "guestbook-golden-v2.0",
    "available",
    "x86_64",
    "2026-01-01",
    tags={"PostgreSQL": "15", model_image.STORAGE_MODE: "rds"},
)
SOURCE = DatabaseSurvey(40, 8_000_000, 15, "guestbook", extensions=("pgcrypto", "plpgsql"), roles=("guestbook",))
TARGET = DatabaseSurvey(0, 7_000_000, 15, "guestbook", available=("pgcrypto", "plpgsql"), roles=("guestbook", "master"))
SURVEY = MigrationSurvey(
    "rds",
    (InstanceData("i-1", server_running=True, rows=40, major=15, storage_mode="instance"),),
    SOURCE,
    TARGET,
    "db.example",
)

BLOCKED = [
    ({}, SURVEY, IMAGE, 'the recipe says mode = "instance": set mode = "rds" under [database]'),
    (RDS | {"fleet.run_command": False}, SURVEY, IMAGE, "set run_command = true under [fleet]"),
    (RDS, replace(SURVEY, instances=()), IMAGE, "no instance is in service"),
    (
        RDS,
        replace(SURVEY, instances=(InstanceData("i-1"), InstanceData("i-2"))),
        IMAGE,
        "2 instances are in service (i-1, i-2): set the group's size to 1",
    ),
    (
        RDS,
        replace(SURVEY, instances=(InstanceData("i-1", reachable=False, reason="asleep"),)),
        IMAGE,
        "i-1 cannot be inspected: asleep",
    ),
    (RDS, replace(SURVEY, source=replace(SOURCE, major=16)), IMAGE, "the image has 15, which cannot read it"),
    (RDS, replace(SURVEY, source=replace(SOURCE, major=16)), IMAGE, "the server is 15, which cannot restore it"),
    (RDS, replace(SURVEY, target=replace(TARGET, major=17)), IMAGE, "backups would fail (set version = 17"),
    (RDS, replace(SURVEY, host="", target=None), IMAGE, "the database server is unknown: --host NAME, or a value for"),
    (RDS, replace(SURVEY, target_error="password", target=None), IMAGE, "the new database cannot be used: password"),
    (RDS, replace(SURVEY, target=replace(TARGET, owner="master")), IMAGE, "belongs to master (ALTER DATABASE guestbook OWNER"),
    (RDS, replace(SURVEY, target=replace(TARGET, foreign=("public.x",))), IMAGE, "other roles own tables in guestbook on"),
    (RDS, replace(SURVEY, target=replace(TARGET, rows=3)), IMAGE, "already has 3 row(s); --replace replaces them"),
    (RDS, replace(SURVEY, target=replace(TARGET, rows=3, exact=False)), IMAGE, "already has at least 3 rows; --replace"),
    (RDS, replace(SURVEY, source=replace(SOURCE, row_security_forced=("public.notes",))), IMAGE,
     "row-level security would hide rows of public.notes from guestbook on db.example"),
    (RDS, replace(SURVEY, source=replace(SOURCE, relations=7000), target=replace(TARGET, objects=500)), IMAGE,
     "7500 locks, and the lock table of db.example has 6400 entries: set max_locks_per_transaction = 128 (now 64)"),
    (RDS, replace(SURVEY, target=replace(TARGET, encoding="LATIN1")), IMAGE, "is encoded in LATIN1, the data in UTF8"),
    (RDS, replace(SURVEY, target=replace(TARGET, available=("plpgsql",))), IMAGE, "does not offer the extension(s) pgcrypto"),
    (RDS, replace(SURVEY, source=replace(SOURCE, roles=("guestbook", "reader"))), IMAGE, "does not have the role(s) reader"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "survey", "image", "told"), BLOCKED)
def test_migration_is_blocked(changes: dict[str, object], survey: MigrationSurvey, image: Image, told: str) -> None:
    found = list(migrate_plan.blockers(recipe(changes), image, survey, replace=False))
    assert any(told in reason for reason in found), found


def test_migration_is_not_blocked() -> None:
    wanted = recipe(RDS)
    assert list(migrate_plan.blockers(wanted, IMAGE, SURVEY, replace=False)) == []
    full = replace(SURVEY, target=replace(TARGET, rows=3))
    assert list(migrate_plan.blockers(wanted, IMAGE, full, replace=True)) == []
    forced = replace(SOURCE, row_security_forced=("public.notes",))
    bypassing = replace(SURVEY, source=forced, target=replace(TARGET, bypasses_row_security=True))
    assert list(migrate_plan.blockers(wanted, IMAGE, bypassing, replace=False)) == []
    many = replace(SURVEY, source=replace(SOURCE, relations=7000), target=replace(TARGET, objects=500, max_locks=128))
    assert list(migrate_plan.blockers(wanted, IMAGE, many, replace=False)) == []
    stale = replace(SURVEY, target=replace(TARGET, rows=3, stale="guestbook/backups/b"))
    assert list(migrate_plan.blockers(wanted, IMAGE, stale, replace=False)) == []
    assert "stale data" in next(migrate_plan.warnings(IMAGE, stale, replace=False))
    back = MigrationSurvey("instance", (InstanceData("i-1", storage_mode="rds"),), TARGET)
    assert list(migrate_plan.blockers(recipe(), IMAGE, back, replace=False)) == []


surveys = st.builds(
    DatabaseSurvey,
    rows=st.integers(0, 3),
    bytes=st.integers(0, 10**9),
    major=st.integers(14, 16),
    owner=st.sampled_from(["guestbook", "master"]),
    stale=st.sampled_from(["", "guestbook/backups/b"]),
)


@given(surveys, surveys, st.booleans(), st.sampled_from(["", "db.example", "other"]))
def test_data_is_replaced_only_on_request(
    source: DatabaseSurvey, target: DatabaseSurvey, requested: bool, previous: str
) -> None:
    survey = replace(SURVEY, source=source, target=target)
    step = migrate_plan.storage_change(survey, "/host", previous, replace=requested)
    reasons = list(migrate_plan.blockers(recipe(RDS), IMAGE, survey, replace=requested))
    if target.rows and not target.stale:
        assert requested or reasons
        assert step.replace == requested
    else:
        assert not step.replace, "there is nothing to replace"
    assert (step.parameter, step.host) == (("", "") if previous == survey.host else ("/host", survey.host))
    if source.major > target.major or target.owner != "guestbook":
        assert reasons
    assert migrate_plan.estimate_downtime(source.bytes) >= 15


def test_survey_knows_the_storage_mode_by_the_instances() -> None:
    assert not SURVEY.already_migrated
    assert SURVEY.previous_mode == "instance"
    assert replace(
        SURVEY, instances=(InstanceData("i-1", storage_mode="rds"), InstanceData("i-2", storage_mode="rds"))
    ).already_migrated
    assert not MigrationSurvey("rds", ()).already_migrated


MOVE = StorageChange("rds", "instance", "/host", "new", "old")


def test_the_journal_knows_where_the_rows_are_and_what_to_undo() -> None:
    there = Switchover("run", "i-old", version=2, suspended=SUSPENDED_WHILE_REPLACING, storage_change=MOVE)
    assert records.parse(records.dump(there), Switchover) == there
    assert not there.replaces, "rows in the new home are somebody's"
    assert replace(there, storage_change=replace(MOVE, replace=True)).replaces
    assert Switchover("run", "i-old").replaces
    back = there.advance("opened", "i-new").reversed(1)
    assert back.replaces, "what the instance before holds is out of date"
    assert back.storage_change == MOVE


def test_a_group_replaces_its_instances_by_itself_where_they_hold_nothing() -> None:
    there = Switchover("run", "i-old", suspended=("AlarmNotification", *SUSPENDED_WHILE_REPLACING), storage_change=MOVE)
    assert there.suspended_after == ("AlarmNotification",)
    assert there.advance("opened", "i-new").reversed(1).suspended_after == (
        "AlarmNotification",
        *SUSPENDED_WHILE_REPLACING,
    ), "back, it is as it was"
    home = Switchover("run", "i-old", suspended=("AlarmNotification",), storage_change=StorageChange("instance", "rds"))
    assert home.suspended_after == ("AlarmNotification", *SUSPENDED_WHILE_REPLACING)
    assert Switchover("run", "i-old", suspended=SUSPENDED_WHILE_REPLACING).suspended_after == SUSPENDED_WHILE_REPLACING


def test_image_of_another_storage_mode_is_not_promoted() -> None:
    versions = {1: LaunchTemplateVersion(1, {"ImageId": "ami-0", "InstanceType": "t3.micro"})}
    fleet_state = FleetState(LaunchTemplate("lt-1", "t", 1, 1, versions), AutoScalingGroup("g", "lt-1", "1", 1, 2, 1))
    verified = replace(IMAGE, tags={**IMAGE.tags, model_image.VERIFIED: "now"})
    request_for = RolloutRequest("ami-1", verified, {"ImageId": "ami-1"}, storage_mode="instance", transfers_data=True)
    (told,) = [reason for reason in plan_promotion(request_for, fleet_state).blockers if "mode" in reason]
    assert 'the recipe "instance": bake again, or set mode = "rds"' in told
    (told,) = plan_promotion(
        replace(request_for, storage_mode="rds", current_storage_mode="instance", transfers_data=False), fleet_state
    ).blockers
    assert "./invoke db.migrate --to rds transfers it" in told
    moving = replace(request_for, storage_mode="rds", current_storage_mode="instance", storage_change=MOVE)
    assert plan_promotion(moving, fleet_state).blockers == ()
    assert not [
        r for r in plan_promotion(replace(request_for, storage_mode="rds"), fleet_state).blockers if "mode" in r
    ]
    old = replace(verified, tags={model_image.VERIFIED: "now"})
    assert not [r for r in plan_promotion(replace(request_for, image=old), fleet_state).blockers if "mode" in r]
    assert list(blockers(request_for, fleet_state, 1, None)) == [], "one that is there already is not requested"
