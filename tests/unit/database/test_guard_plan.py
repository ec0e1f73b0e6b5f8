"""What counts as data on an instance, and what then forbids to replace it."""

from __future__ import annotations

import pytest

from goldenami.database.guard_plan import InstanceData, data_blockers
from tests.support.recipes import RDS, VOLUME, recipe

RUNNING = InstanceData("i-1", server_running=True, databases=1, major=15, storage_mode="instance")


@pytest.mark.parametrize(
    ("data", "contents"),
    [
        (InstanceData("i-1", server_running=True, rows=963), "963 row(s)"),
        (InstanceData("i-1", server_running=True, rows=100_011, exact=False), "at least 100011 rows"),
        (InstanceData("i-1", server_running=True, unreadable="disk"), "a database that cannot be read (disk)"),
        (InstanceData("i-1", databases=1), "a database whose server does not answer"),
    ],
)
def test_instance_with_a_database_of_its_own_is_not_replaced_in_mode_rds(data: InstanceData, contents: str) -> None:
    assert data.has_data
    (reason,) = data_blockers(recipe(RDS), [data])
    assert reason.startswith(f"i-1 has {contents} of its own")


def test_instance_that_only_the_schema_filled_has_no_data() -> None:
    assert not RUNNING.has_data
    assert list(data_blockers(recipe(RDS), [RUNNING])) == []


def test_database_that_cannot_be_read_is_not_transferred() -> None:
    unreadable = InstanceData("i-1", server_running=True, unreadable="disk", storage_mode="instance")
    (reason,) = data_blockers(recipe(), [unreadable])
    assert reason == "the database of i-1 cannot be read, so its data cannot be transferred: disk"
    mounted = InstanceData("i-1", server_running=True, unreadable="disk", volume="vol-1", storage_mode="volume")
    assert list(data_blockers(recipe(VOLUME), [mounted])) == [], "the volume moves with all its data"
