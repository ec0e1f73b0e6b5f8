"""The time of day, pauses and waiting loops; no other module reads the time. Tests pass another clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Source of time for operations."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return the seconds since an arbitrary start; they never go backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True)
class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the seconds since an arbitrary start; they never go backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def poll(clock: Clock, timeout: float, every: float) -> Iterator[float]:
    """Yield the elapsed seconds, with a pause between two attempts, until the timeout.

    The first attempt is immediate, so a timeout of 0 tries once; the duration of an attempt counts. The first pauses are
    shorter, each twice the one before: many resources are ready within a second.

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


def wait_until(
    clock: Clock,
    read: Callable[[], T],
    done: Callable[[T], object],
    *,
    timeout: float,
    every: float,
    on_timeout: Callable[[T], Exception],
    failed: Callable[[T], object] = lambda _: False,
) -> T:
    """Read a state until it is the awaited one.

    Args:
        clock: What to measure and wait with.
        read: Returns the current state.
        done: True for the awaited state.
        timeout: Seconds after which no further attempt starts.
        every: Seconds between two attempts, from the fourth on.
        on_timeout: Makes the exception from the last state.
        failed: True for a state that cannot become the awaited one; waiting ends at once.

    Returns:
        The awaited state.
    """
    for _ in poll(clock, timeout, every):
        state = read()
        if done(state):
            return state
        if failed(state):
            break
    raise on_timeout(state)
