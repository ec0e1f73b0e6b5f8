"""Who is changing the fleet (or rebuilding the image): one at a time, written down where everybody sees it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

# Without a sign of life for so long, the holder counts as dead. It gives one every BEAT.
STALE_AFTER = timedelta(seconds=120)
HEARTBEAT_INTERVAL = timedelta(seconds=20)


@dataclass(frozen=True)
class LockSpec:
    """What is claimed.

    Attributes:
        name: The parameter that holds the claim.
        called: `the fleet`, `the rebuild`.
        doing: What its holder does: `is changing the fleet`.
        patience: Without a sign of life for so long, a holder on another machine counts as dead.
    """

    parameter: str
    subject: str = "the fleet"
    doing: str = "is changing the fleet"
    stale_after: timedelta = STALE_AFTER


@dataclass(frozen=True)
class LockRecord:
    """A claim on the fleet, or on another thing that one at a time may work on.

    Attributes:
        run: The holder's run id.
        what: What it does: `promote ami-…`.
        who: The operator, as `user@machine`.
        process: The process on that machine, as `pid:start`; empty where that is not known.
        since: When it was taken (ISO 8601).
        beat: The last sign of life (ISO 8601).
    """

    run: str
    operation: str
    holder: str
    process: str
    since: str
    last_heartbeat: str

    def text(self) -> str:
        """As the parameter holds it."""
        return json.dumps(asdict(self), ensure_ascii=False)

    def with_heartbeat(self, now: datetime) -> LockRecord:
        """With a sign of life of now."""
        return replace(self, last_heartbeat=now.isoformat(timespec="seconds"))

    def is_stale(self, now: datetime, *, machine: str, alive: bool, stale_after: timedelta = STALE_AFTER) -> bool:
        """Whether its holder has ended without giving it back.

        Args:
            now: The time.
            here: This machine's name.
            alive: Whether the holder's process runs, if it is one of this machine.
            patience: How long a holder on another machine may give no sign of life.
        """
        if self.process and self.holder.endswith(f"@{machine}"):
            return not alive
        return now - datetime.fromisoformat(self.last_heartbeat) > stale_after


def parse(text: str) -> LockRecord | None:
    """A claim from its parameter; None when that holds anything else."""
    try:
        found = json.loads(text)
        held_lock = LockRecord(**{name: str(found[name]) for name in LockRecord.__dataclass_fields__})
        datetime.fromisoformat(held_lock.last_heartbeat)
    except (ValueError, KeyError, TypeError):
        return None
    return held_lock
