"""Waiting: the first attempt at once, then with pauses until the time is up."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from goldenami.tools.clock import SystemClock, poll
from tests.support.clock import ScriptedClock


@pytest.mark.parametrize(
    ("timeout", "every", "times"),
    [(0, 8, [0]), (0.5, 8, [0]), (3, 8, [0, 1, 3]), (23, 8, [0, 1, 3, 7, 15, 23]), (-1, 1, [0])],
)
def test_attempts(timeout: float, every: float, times: list[float]) -> None:
    clock = ScriptedClock()
    assert list(poll(clock, timeout, every)) == times
    assert clock.elapsed <= max(timeout, 0)


@given(st.integers(0, 100), st.integers(1, 10), st.integers(0, 20))
def test_time_that_an_attempt_itself_takes_counts(timeout: int, every: int, took: int) -> None:
    clock = ScriptedClock()
    for elapsed in poll(clock, timeout, every):
        assert elapsed <= timeout
        clock.elapsed += took
    assert clock.elapsed <= timeout + took


def test_no_pause_follows_an_attempt_that_succeeded() -> None:
    clock = ScriptedClock()
    for _ in poll(clock, 10, 1):
        break
    assert clock.sleeps == []


def test_the_real_clock_is_utc_and_goes_forward() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset().total_seconds() == 0  # type: ignore[union-attr]
    assert clock.monotonic() <= clock.monotonic()
    clock.sleep(0)
