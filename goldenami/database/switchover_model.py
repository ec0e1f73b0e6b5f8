"""State of a database switchover between two instances, and of a write freeze; saved before each step.

An interrupted operation can be recovered from its state. Exactly one instance is primary at any time: the source until step
`opened`, then the target. The other instance is stale and does not accept writes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from goldenami.model.fleet import SUSPENDED_WHILE_REPLACING

SwitchoverStep = Literal["launching", "moving", "opened"]
TransferMethod = Literal["backup", "volume"]


@dataclass(frozen=True)
class StorageChange:
    """A change of the storage mode as part of a switchover.

    Attributes:
        parameter: Name of the parameter with the database's host name; empty if it does not change.
        host: The new host name.
        previous_host: The host name before; empty if the parameter did not exist.
        replace: True if data in the new storage may be replaced.
    """

    mode: str
    previous_mode: str
    parameter: str = ""
    host: str = ""
    previous_host: str = ""
    replace: bool = False


@dataclass(frozen=True)
class Switchover:
    """State of a switchover, as the parameter holds it.

    Attributes:
        run: Id of the run that began it; the client token of the instance that it launches contains it.
        version: Launch template version of the target.
        is_reversal: True if the data returns to the instance that was primary before.
        max_size: Maximum size of the group before; 0 without a group.
        suspended: Processes of the group that were suspended before.
        method: How the data is transferred: restored from a backup, or with its volume.
        storage_change: The change of the storage mode, if there is one.
        source_had_volume: False if the source could not mount the volume; there is nothing to transfer or to give back then.
        frozen_since: When the writes of the primary were stopped (ISO 8601).
        backup: Id of the backup that is restored instead of the source's data, which is lost or cannot be served; empty to
            transfer the source's data.
        watch: Seconds that the target is monitored with traffic before the switchover is completed.
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
    frozen_since: str = ""
    backup: str = ""
    watch: int = 0

    def advance(self, step: SwitchoverStep, target: str = "") -> Switchover:
        """Return the state at another step."""
        return replace(self, step=step, target=target or self.target)

    @property
    def data_arrived(self) -> bool:
        """True if the data was transferred; the switchover can then only be completed."""
        return self.step == "opened"

    @property
    def primary(self) -> str:
        """The instance with the authoritative copy of the data."""
        return self.target if self.data_arrived else self.source

    @property
    def standby(self) -> str:
        """The other instance."""
        return self.source if self.data_arrived else self.target

    @property
    def storage_mode(self) -> str:
        """Storage mode of the authoritative copy. A volume and a DB instance survive the instance, its root disk does not."""
        if self.method == "volume":
            return "volume"
        if self.storage_change is None:
            return "instance"
        return self.storage_change.mode if self.data_arrived != self.is_reversal else self.storage_change.previous_mode

    @property
    def resumed_by(self) -> str:
        """The command that completes the switchover after an interruption, or rolls it back."""
        if self.storage_change is not None:
            return f"./invoke db.migrate --to {self.storage_change.mode}"
        return "./invoke rollback"

    @property
    def suspended_after(self) -> tuple[str, ...]:
        """Processes of the group that stay suspended when the switchover is complete."""
        if self.storage_change is None or self.is_reversal:
            return self.suspended
        others = tuple(process for process in self.suspended if process not in SUSPENDED_WHILE_REPLACING)
        return others if self.storage_change.mode != "instance" else (*others, *SUSPENDED_WHILE_REPLACING)

    @property
    def replaces(self) -> bool:
        """True if data on the target may be replaced: always, unless the storage mode changes."""
        return self.storage_change is None or self.is_reversal or self.storage_change.replace

    def reversed(self, version: int) -> Switchover:
        """Return the switchover from the target back to the source, which still runs."""
        return replace(self._swapped(version), step="moving", is_reversal=True, source_had_volume=True)

    def failed_over(self, version: int) -> Switchover:
        """Return the completed failover to the source, after the target was terminated."""
        return replace(self._swapped(version), step="opened", is_reversal=True)

    def reverted(self, version: int) -> Switchover:
        """Return the state after a failed reversal: the data is where it was."""
        return replace(self._swapped(version), step="opened", is_reversal=False)

    def _swapped(self, version: int) -> Switchover:
        return replace(self, source=self.target, target=self.source, version=version)


@dataclass(frozen=True)
class WriteFreeze:
    """State of a write freeze, as the parameter holds it.

    Attributes:
        instances: Instances whose writes are stopped; the first one does the work.
        suspended: Processes of the group that were suspended for it.
        backup: Id of the backup that replaces the data; empty if the data stays as it is.
        swapping_in: True once the restored database is being swapped in; the restore can then only be completed.
        since: When it began (ISO 8601).
    """

    run: str
    operation: str
    instances: tuple[str, ...]
    suspended: tuple[str, ...] = ()
    backup: str = ""
    swapping_in: bool = False
    since: str = ""

    @property
    def resumed_by(self) -> str:
        """The command that resumes writes after an interruption."""
        return "./invoke recover"
