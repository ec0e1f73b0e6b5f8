"""A clock that a test scripts: sleeping takes no time, and things happen at their appointed seconds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class ScriptedClock:
    """Keeps time by being slept on.

    Attributes:
        sleeps: How long each pause was, in seconds.
        elapsed: Seconds since the start.
    """

    def __init__(self, start: datetime = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)) -> None:
        self.start = start
        self.elapsed = 0.0
        self.sleeps: list[float] = []
        self._events: list[tuple[float, Callable[[], None]]] = []

    def at(self, seconds: float, event: Callable[[], None]) -> None:
        """Let something happen once that many seconds have passed since the start."""
        self._events.append((seconds, event))

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return 1000.0 + self.elapsed

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.sleeps.append(seconds)
        self.elapsed += seconds
        due = sorted((e for e in self._events if e[0] <= self.elapsed), key=lambda e: e[0])
        self._events = [e for e in self._events if e[0] > self.elapsed]
        for _, event in due:
            event()
