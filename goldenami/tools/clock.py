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
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def timestamp(clock: Clock) -> str:
    """Return the current time as ISO 8601, in UTC, to the second."""
    return clock.now().isoformat(timespec="seconds")


def poll(clock: Clock, timeout: float, every: float) -> Iterator[float]:
    """Yield the elapsed seconds, with a pause between two attempts, until the timeout.

    The first attempt is immediate, so a timeout of 0 tries once; the duration of an attempt counts. The first pauses are
    shorter, each twice the one before, until they last `every` seconds: many resources are ready within a second.
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
    """Read a state, as `poll` does, until it is done, and return it.

    A state that has failed cannot become done: waiting ends at once. `on_timeout` makes the exception from the last state.
    """
    for _ in poll(clock, timeout, every):
        state = read()
        if done(state):
            return state
        if failed(state):
            break
    raise on_timeout(state)
