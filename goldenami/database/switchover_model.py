"""A handover: rows go from one instance to another, written down step by step, so that whoever finds it knows where they are.

At every moment exactly one of the two has the rows that count. Until `opened` it is the source, after that the target; what
the other one holds is out of date, and its writes are stopped.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

from goldenami.model.fleet import SUSPENDED_WHILE_REPLACING

SwitchoverStep = Literal["launching", "moving", "opened"]
TransferMethod = Literal["backup", "volume"]


@dataclass(frozen=True)
class StorageChange:
    """Data gets another home on the way from one instance to the other.

    Attributes:
        to: The new home, as `[database] mode` says it.
        left: The home before.
        parameter: The parameter with the server's host name, where that is to change.
        host: What it says from now on.
        former: What it said before; empty where it did not exist.
        replace: Whether rows that the new home holds may be replaced.
    """

    mode: str
    previous_mode: str
    parameter: str = ""
    host: str = ""
    previous_host: str = ""
    replace: bool = False


@dataclass(frozen=True)
class Switchover:
    """What Parameter Store holds while one is under way.

    Attributes:
        run: The run that made it; the instance that it launched has it in its tags.
        source: The instance that rows leave.
        target: The instance that they go to; empty until it is known.
        version: The template version of the target.
        back: Whether the target is the one that served before: rows return to it.
        max: The group's maximum before; 0 where there is no group.
        suspended: The group's processes that were suspended before.
        by: How rows go: restored from a backup, or with the volume that they are on.
        move: Where data moves on the way, if it does.
        had: Whether the source had that volume; one that could not take it has nothing to give, and nothing to get back.
    """

    run: str
    source: str
    target: str = ""
    step: SwitchoverStep = "launching"
    version: int = 0
    is_reversal: bool = False
    max_size: int = 0
    suspended: tuple[str, ...] = ()
    method: TransferMethod = "backup"
    storage_change: StorageChange | None = None
    source_had_volume: bool = True

    def text(self) -> str:
        """As the parameter holds it."""
        return json.dumps(asdict(self))

    def advance(self, step: SwitchoverStep, target: str = "") -> Switchover:
        """The same one step on."""
        return replace(self, step=step, target=target or self.target)

    @property
    def primary(self) -> str:
        """The instance whose rows count."""
        return self.target if self.step == "opened" else self.source

    @property
    def storage_mode(self) -> str:
        """Where the rows that count are: a `volume` and a server (`rds`) outlive it, a disk of its own (`instance`) does not."""
        if self.method == "volume":
            return "volume"
        if self.storage_change is None:
            return "instance"
        return self.storage_change.mode if self.data_arrived != self.is_reversal else self.storage_change.previous_mode

    @property
    def suspended_after(self) -> tuple[str, ...]:
        """What the group must not do by itself once it is over."""
        if self.storage_change is None or self.is_reversal:
            return self.suspended
        others = tuple(process for process in self.suspended if process not in SUSPENDED_WHILE_REPLACING)
        return others if self.storage_change.mode != "instance" else (*others, *SUSPENDED_WHILE_REPLACING)

    @property
    def replaces(self) -> bool:
        """Whether rows of the target may be replaced: always those of an instance that was launched, or left, for it."""
        return self.storage_change is None or self.is_reversal or self.storage_change.replace

    @property
    def data_arrived(self) -> bool:
        """Whether the rows have arrived: then there is only one way, and it leads on."""
        return self.step == "opened"

    def reversed(self, version: int) -> Switchover:
        """The way back for rows that have arrived: from the target to the source, which still stands there."""
        return replace(
            self,
            source=self.target,
            target=self.source,
            step="moving",
            version=version,
            is_reversal=True,
            source_had_volume=True,
        )

    def failed_over(self, version: int) -> Switchover:
        """The target has ended with its work undone, and the volume with every row has come back to the source."""
        return replace(self, source=self.target, target=self.source, step="opened", version=version, is_reversal=True)

    def reverted(self, version: int) -> Switchover:
        """What is true when that way back fails: the rows are where they were."""
        return replace(self, source=self.target, target=self.source, step="opened", version=version, is_reversal=False)


def parse_switchover(text: str) -> Switchover | None:
    """A handover from its parameter; None when that holds anything else."""
    try:
        found = json.loads(text)
        move = StorageChange(**found["storage_change"]) if found.get("storage_change") else None
        return Switchover(**{**found, "suspended": tuple(found["suspended"]), "storage_change": move})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


@dataclass(frozen=True)
class WriteFreeze:
    """What Parameter Store holds while one lasts.

    Attributes:
        run: The run that made it.
        what: What it is for: `db.restore 20260102-030405-0abcde`.
        instances: Whose writes are stopped, or about to be; the first one does the work.
        suspended: The group's processes that were suspended for it.
        backup: The backup that is to take the place of what the database holds; empty where rows stay as they are.
        arriving: Whether it is being put in its place: from here on there is only the way on.
    """

    run: str
    operation: str
    instances: tuple[str, ...]
    suspended: tuple[str, ...] = ()
    backup: str = ""
    swapping_in: bool = False

    def text(self) -> str:
        """As the parameter holds it."""
        return json.dumps(asdict(self))


def parse_write_freeze(text: str) -> WriteFreeze | None:
    """A pause from its parameter; None when that holds anything else."""
    try:
        found = json.loads(text)
        return WriteFreeze(**{**found, "instances": tuple(found["instances"]), "suspended": tuple(found["suspended"])})
    except (ValueError, TypeError, KeyError):
        return None
