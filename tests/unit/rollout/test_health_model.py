"""The health gate: what is reason to turn back, and what is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from goldenami.rollout.health_model import HealthSample, InstanceHealth, add_sample, failure_reason

PENDING = HealthSample("Pending")
STARTING = HealthSample("InService", target="initial", probe=False, detail="refused")
GOOD = HealthSample("InService", target="healthy", probe=True)
SILENT = HealthSample("InService", target="healthy", probe=False, detail="no answer")


def after(looks: Sequence[HealthSample], grace: float = 60, hold: float = 1000) -> str:
    """The verdict after these looks, one every ten seconds."""
    record, now = InstanceHealth("i-1", 0.0), 0.0
    for number, look in enumerate(looks):
        now = 10.0 * number
        record = add_sample(record, look, now)
        if found := failure_reason(record, now, grace, hold):
            return found
    return ""


@pytest.mark.parametrize(
    "looks",
    [
        [PENDING] * 20,
        [PENDING, STARTING, STARTING, GOOD, GOOD],
        [GOOD, SILENT, SILENT, GOOD, SILENT, SILENT, GOOD],
        [GOOD, HealthSample("InService", target="healthy", probe=True, restarts=0, errors=3), GOOD],
        [GOOD, HealthSample("Terminating")],
        [PENDING, HealthSample("InService", target="", probe=True)],
    ],
)
def test_no_reason_to_turn_back(looks: Sequence[HealthSample]) -> None:
    assert after(looks) == ""


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ([PENDING] * 40, "not in service after"),
        ([PENDING, *[STARTING] * 9], "(grace period)"),
        ([PENDING, STARTING, HealthSample("Terminating", target="unhealthy")], "without being healthy"),
        ([PENDING, HealthSample("")], "without being healthy"),
        ([STARTING, HealthSample("InService", healthy=False)], "unhealthy in the group"),
        ([GOOD, SILENT, SILENT, SILENT], "stopped answering"),
        ([GOOD, HealthSample("InService", target="unhealthy", probe=True)], "failed the load balancer's health check"),
        ([GOOD, HealthSample("InService", healthy=False, target="healthy", probe=True)], "became unhealthy"),
        ([GOOD, SILENT, HealthSample("Terminating")], "failed, and left the group"),
        ([GOOD, HealthSample("InService", target="healthy", probe=True, restarts=1)], "restarted 1 time(s)"),
    ],
)
def test_a_reason_to_turn_back(looks: Sequence[HealthSample], told: str) -> None:
    assert told in after(looks)


def test_the_old_instances_do_not_wait_longer_than_they_must() -> None:
    looks = [STARTING] * 5
    assert after(looks, grace=300) == ""
    assert "minimum time before old instances are terminated" in after(looks, grace=300, hold=30)


def test_errors_in_the_service_s_journal_count_where_the_recipe_says_so() -> None:
    record = add_sample(
        add_sample(InstanceHealth("i-1", 0.0), GOOD, 5.0),
        HealthSample("InService", target="healthy", probe=True, errors=3),
        6.0,
    )
    assert failure_reason(record, 7.0, 60, max_errors=3) == ""
    assert "logged 3 error(s)" in failure_reason(record, 7.0, 60, max_errors=2)
    gone = add_sample(record, HealthSample("Terminating", errors=9), 8.0)
    assert failure_reason(gone, 9.0, 60, max_errors=2) == "", "what it says while it is shut down is no matter"


def test_a_probe_between_two_looks_counts() -> None:
    record = add_sample(InstanceHealth("i-1", 0.0), GOOD, 5.0)
    for second in range(3):
        record = add_sample(record, SILENT, 6.0 + second)
    assert record.consecutive_failures == 3
    assert "stopped answering" in failure_reason(record, 9.0, 60)
