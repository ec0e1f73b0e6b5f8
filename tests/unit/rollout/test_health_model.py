"""The health gate: what is reason to turn back, and what is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from goldenami.rollout.health_model import Look, Record, note, verdict

PENDING = Look("Pending")
STARTING = Look("InService", target="initial", probe=False, detail="refused")
GOOD = Look("InService", target="healthy", probe=True)
SILENT = Look("InService", target="healthy", probe=False, detail="no answer")


def after(looks: Sequence[Look], grace: float = 60, hold: float = 1000) -> str:
    """The verdict after these looks, one every ten seconds."""
    record, now = Record("i-1", 0.0), 0.0
    for number, look in enumerate(looks):
        now = 10.0 * number
        record = note(record, look, now)
        if found := verdict(record, now, grace, hold):
            return found
    return ""


@pytest.mark.parametrize(
    "looks",
    [
        [PENDING] * 20,
        [PENDING, STARTING, STARTING, GOOD, GOOD],
        [GOOD, SILENT, SILENT, GOOD, SILENT, SILENT, GOOD],
        [GOOD, Look("InService", target="healthy", probe=True, restarts=0, errors=3), GOOD],
        [GOOD, Look("Terminating")],
        [PENDING, Look("InService", target="", probe=True)],
    ],
)
def test_no_reason_to_turn_back(looks: Sequence[Look]) -> None:
    assert after(looks) == ""


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ([PENDING] * 40, "did not come into service"),
        ([PENDING, *[STARTING] * 9], "its grace period"),
        ([PENDING, STARTING, Look("Terminating", target="unhealthy")], "was never healthy"),
        ([PENDING, Look("")], "was never healthy"),
        ([STARTING, Look("InService", healthy=False)], "unhealthy to the group"),
        ([GOOD, SILENT, SILENT, SILENT], "stopped answering"),
        ([GOOD, Look("InService", target="unhealthy", probe=True)], "fails the balancer's health check"),
        ([GOOD, Look("InService", healthy=False, target="healthy", probe=True)], "became unhealthy"),
        ([GOOD, SILENT, Look("Terminating")], "failed, and was taken out"),
        ([GOOD, Look("InService", target="healthy", probe=True, restarts=1)], "restarted 1 time(s)"),
    ],
)
def test_a_reason_to_turn_back(looks: Sequence[Look], told: str) -> None:
    assert told in after(looks)


def test_the_old_instances_do_not_wait_longer_than_they_must() -> None:
    looks = [STARTING] * 5
    assert after(looks, grace=300) == ""
    assert "the old instances are sure to wait" in after(looks, grace=300, hold=30)


def test_errors_in_the_service_s_journal_count_where_the_recipe_says_so() -> None:
    record = note(note(Record("i-1", 0.0), GOOD, 5.0), Look("InService", target="healthy", probe=True, errors=3), 6.0)
    assert verdict(record, 7.0, 60, errors=3) == ""
    assert "logged 3 error(s)" in verdict(record, 7.0, 60, errors=2)
    gone = note(record, Look("Terminating", errors=9), 8.0)
    assert verdict(gone, 9.0, 60, errors=2) == "", "what it says while it is shut down is no matter"


def test_a_probe_between_two_looks_counts() -> None:
    record = note(Record("i-1", 0.0), GOOD, 5.0)
    for second in range(3):
        record = note(record, SILENT, 6.0 + second)
    assert record.strikes == 3
    assert "stopped answering" in verdict(record, 9.0, 60)
