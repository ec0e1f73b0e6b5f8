"""The comparison of an image's migrations with the database, and the messages of a failed release step."""

from __future__ import annotations

from goldenami.database.release_plan import AppliedStep, parse_failure, rehearsal_blocker, schema_change
from goldenami.model.inventory import ImageInventory, Migration
from tests.support.recipes import recipe

ONE, TWO = Migration("001_a.sql", "a", False), Migration("002_b.sql", "b", True)


def inventory(*migrations: Migration) -> ImageInventory:
    return ImageInventory({}, {}, {}, migrations)


def test_live_table_decides_over_the_running_image() -> None:
    change = schema_change(recipe(), inventory(ONE, TWO), inventory(ONE, TWO), {"001_a.sql": "a"})
    assert (change.pending, change.missing, change.needs_step) == (("002_b.sql",), (), True)


def test_running_image_decides_where_the_table_is_unknown() -> None:
    change = schema_change(recipe(), inventory(), inventory(ONE, TWO), None)
    assert (change.missing, change.incompatible) == (("001_a.sql", "002_b.sql"), ("001_a.sql",))


def test_changed_migration_is_named() -> None:
    assert schema_change(recipe(), inventory(ONE), None, {"001_a.sql": "other"}).changed == ("001_a.sql",)


def test_image_without_inventory_is_asked_itself() -> None:
    assert schema_change(recipe(), None, None, {}).needs_step


def test_failure_begins_with_the_statement_and_has_no_control_characters() -> None:
    failure = parse_failure(
        "note\nERROR 3.sql, line 2: ERROR:  no\x1b[2J\nDETAIL:  Key.\nSTATE As before\n  HINT: psql", "Failed"
    )
    assert failure.message == "3.sql, line 2: ERROR:  no[2J\nDETAIL:  Key."
    assert failure.state == "As before."
    assert parse_failure("", "TimedOut").message == "the release step failed: TimedOut"


def test_size_limit_names_the_size_and_the_key() -> None:
    assert rehearsal_blocker(recipe(), 10 * 1024**3) == ""
    assert "11.0 GiB, and [release] rehearsal_max_size is 10 GiB" in rehearsal_blocker(recipe(), 11 * 1024**3)


def test_step_has_its_duration_and_locks() -> None:
    assert str(AppliedStep("1.sql", 0.25, ("AccessExclusiveLock a",))) == "1.sql (0.2 s, AccessExclusiveLock a)"
