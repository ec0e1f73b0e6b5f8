"""The health gate: what fails a rollout, and what does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from goldenami.rollout.health_model import HealthSample, InstanceHealth, add_sample, failure_reason

PENDING = HealthSample("Pending")
STARTING = HealthSample("InService", target="initial", probe=False, detail="refused")
GOOD = HealthSample("InService", target="healthy", probe=True)
SILENT = HealthSample("InService", target="healthy", probe=False, detail="no answer")


def after(samples: Sequence[HealthSample], grace: float = 60, min_healthy_time: float = 1000) -> str:
    """The failure reason after these samples, one every ten seconds."""
    health, now = InstanceHealth("i-1", 0.0), 0.0
    for number, sample in enumerate(samples):
        now = 10.0 * number
        health = add_sample(health, sample, now)
        if reason := failure_reason(health, now, grace, min_healthy_time):
            return reason
    return ""


@pytest.mark.parametrize(
    "samples",
    [
        [PENDING] * 20,
        [PENDING, STARTING, STARTING, GOOD, GOOD],
        [GOOD, SILENT, SILENT, GOOD, SILENT, SILENT, GOOD],
        [GOOD, HealthSample("InService", target="healthy", probe=True, restarts=0, errors=3), GOOD],
        [GOOD, HealthSample("Terminating")],
        [PENDING, HealthSample("InService", target="", probe=True)],
    ],
)
def test_samples_do_not_fail(samples: Sequence[HealthSample]) -> None:
    assert after(samples) == ""


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([PENDING] * 40, "not in service after"),
        ([PENDING, *[STARTING] * 9], "(grace period)"),
        ([PENDING, STARTING, HealthSample("Terminating", target="unhealthy")], "without being healthy"),
        ([PENDING, HealthSample("")], "without being healthy"),
        ([STARTING, HealthSample("InService", healthy=False)], "unhealthy in the group"),
        ([GOOD, SILENT, SILENT, SILENT], "failed 3 probes in a row"),
        ([GOOD, HealthSample("InService", target="unhealthy", probe=True)], "failed the load balancer's health check"),
        ([GOOD, HealthSample("InService", healthy=False, target="healthy", probe=True)], "became unhealthy"),
        ([GOOD, SILENT, HealthSample("Terminating")], "failed, and left the group"),
        ([GOOD, HealthSample("InService", target="healthy", probe=True, restarts=1)], "restarted 1 time(s)"),
    ],
)
def test_samples_fail(samples: Sequence[HealthSample], reason: str) -> None:
    assert reason in after(samples)


def test_gate_fails_before_old_instances_are_terminated() -> None:
    samples = [STARTING] * 5
    assert after(samples, grace=300) == ""
    assert "minimum time before old instances are terminated" in after(samples, grace=300, min_healthy_time=30)


def test_journal_errors_fail_if_the_recipe_limits_them() -> None:
    health = add_sample(
        add_sample(InstanceHealth("i-1", 0.0), GOOD, 5.0),
        HealthSample("InService", target="healthy", probe=True, errors=3),
        6.0,
    )
    assert failure_reason(health, 7.0, 60, max_errors=3) == ""
    assert "logged 3 error(s)" in failure_reason(health, 7.0, 60, max_errors=2)
    ended = add_sample(health, HealthSample("Terminating", errors=9), 8.0)
    assert failure_reason(ended, 9.0, 60, max_errors=2) == "", "errors during shutdown do not count"


def test_probes_between_two_polls_count() -> None:
    health = add_sample(InstanceHealth("i-1", 0.0), GOOD, 5.0)
    for second in range(3):
        health = add_sample(health, SILENT, 6.0 + second)
    assert health.consecutive_failures == 3
    assert "failed 3 probes in a row" in failure_reason(health, 9.0, 60)
