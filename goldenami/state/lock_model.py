"""The lock's record: who changes the fleet (or rebuilds the image), and when the holder was last alive."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

STALE_AFTER = timedelta(seconds=120)
HEARTBEAT_INTERVAL = timedelta(seconds=20)


@dataclass(frozen=True)
class LockSpec:
    """What a lock protects.

    Attributes:
        subject: What is locked: `the fleet`, `the rebuild`.
        stale_after: Time without a heartbeat after which the lock of another machine is stale.
    """

    parameter: str
    subject: str = "the fleet"
    stale_after: timedelta = STALE_AFTER


@dataclass(frozen=True)
class LockRecord:
    """A lock as its parameter holds it.

    Attributes:
        holder: The operator, as `user@machine`.
        process: The process on that machine, as `pid:start`; empty if unknown.
    """

    run: str
    operation: str
    holder: str
    process: str
    since: str
    last_heartbeat: str

    def __post_init__(self) -> None:
        datetime.fromisoformat(self.last_heartbeat)  # a record without a valid heartbeat is no lock

    def __str__(self) -> str:
        return f"{self.holder} ({self.operation}, since {self.since})"

    def with_heartbeat(self, now: datetime) -> LockRecord:
        """Return the record with a heartbeat at this time."""
        return replace(self, last_heartbeat=now.isoformat(timespec="seconds"))

    def is_stale(self, now: datetime, *, machine: str, alive: bool, stale_after: timedelta = STALE_AFTER) -> bool:
        """Return True if the holder ended without releasing the lock.

        Args:
            alive: True if the holder's process runs; counts only if the holder is on this machine.
            stale_after: Time without a heartbeat after which a holder on another machine is stale.
        """
        if self.process and self.holder.endswith(f"@{machine}"):
            return not alive
        return now - datetime.fromisoformat(self.last_heartbeat) > stale_after
