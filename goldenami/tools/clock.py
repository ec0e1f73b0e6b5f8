"""The only door to time: flows are given a clock, so that tests can give them another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What flows know of time."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never go backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True)
class SystemClock:
    """The real clock."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never go backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def timestamp(clock: Clock) -> str:
    """Return the current time as ISO 8601, in UTC, to the second."""
    return clock.now().isoformat(timespec="seconds")


def poll(clock: Clock, timeout: float, every: float) -> Iterator[float]:
    """Yield the elapsed seconds, again and again with a pause between, until the time is up.

    The first attempt comes at once, so a timeout of 0 tries once; the time that an attempt itself takes counts. The first
    pauses are shorter, each twice the one before: much of what is waited for is there within a second.

    Args:
        clock: What to measure and wait with.
        timeout: Seconds after which no further attempt starts.
        every: Seconds between two attempts, from the fourth on.
    """
    start = clock.monotonic()
    pause = every / 8
    while True:
        yield clock.monotonic() - start
        if clock.monotonic() - start + pause > timeout:
            return
        clock.sleep(pause)
        pause = min(2 * pause, every)
