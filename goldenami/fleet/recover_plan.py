"""Decide how a fleet that does not serve is brought back: which instance is started or replaced, and whose rows it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from goldenami.database.backup_model import Manifest
from goldenami.database.guard_plan import InstanceData
from goldenami.model.image import Image

# `restore`: into the empty database of an instance that serves.
RecoveryAction = Literal["none", "start", "restart", "replace", "restore"]
RowSource = Literal["none", "instance", "backup", "volume", "external"]


@dataclass(frozen=True)
class RecoveryInstance:
    """An instance of the fleet that is not terminated; `data` is None if it does not run."""

    id: str
    state: str
    serving: bool
    data: InstanceData | None = None

    @property
    def readable(self) -> bool:
        """True if its database can be backed up now."""
        return self.data is not None and self.data.reachable and self.data.server_running

    @property
    def unreadable_reason(self) -> str:
        """Why its database cannot be backed up."""
        if self.data is None:
            return f"the instance is {self.state}"
        return self.data.reason or "its database server does not answer"


@dataclass(frozen=True)
class RecoveryState:
    """What a recovery is decided on.

    Attributes:
        mode: The recipe's storage mode.
        desired: Number of instances that should serve.
        members: Ids of the group's instances, also of terminated ones.
        image: The image of the new instance; None if there is none.
        image_note: Why it is not the image in production; empty if it is.
        backup: The newest backup that is intact and that the image can read.
        damaged: Newer backups, and why each cannot be used.
        volume_lost: True if the data volume does not exist or has failed.
        snapshot: Time of the volume's newest snapshot; empty if there is none.
        restarted: True if the instances were started by this recovery.
    """

    mode: str
    instances: tuple[RecoveryInstance, ...]
    desired: int
    members: tuple[str, ...] = ()
    image: Image | None = None
    image_note: str = ""
    backup: Manifest | None = None
    damaged: tuple[str, ...] = ()
    volume_lost: bool = False
    snapshot: str = ""
    restarted: bool = False


@dataclass(frozen=True)
class RecoveryPlan:
    """What is done next.

    Attributes:
        instances: Ids of the instances that it is done to; also terminated ones that the group still lists.
        rows: Where the rows come from.
        losses: What is given up; needs a confirmation.
        blockers: Why it cannot be done.
    """

    action: RecoveryAction
    instances: tuple[str, ...] = ()
    rows: RowSource = "none"
    losses: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecoverPreflight:
    """What a recovery found, and its next step."""

    state: RecoveryState
    plan: RecoveryPlan


@dataclass(frozen=True)
class RecoverResult:
    """What was done, which instances serve now, and the backup whose rows they have (None if no backup was restored)."""

    plan: RecoveryPlan
    instances: tuple[str, ...]
    image: Image | None
    image_note: str
    backup: Manifest | None


def plan_recovery(state: RecoveryState) -> RecoveryPlan:
    """Decide the next step of a recovery."""
    serving = [instance for instance in state.instances if instance.serving]
    if serving and len(serving) >= state.desired and not state.volume_lost:
        return _plan_serving(state, serving)
    plan = _plan_on_instance(state) if state.mode == "instance" else _plan_outside(state)
    if plan.action == "replace" and state.image is None:
        reason = "there is no image to launch: none is available, verified and not rolled back"
        return RecoveryPlan("replace", plan.instances, blockers=(*plan.blockers, f"{reason} (./invoke bake)"))
    return plan


def _plan_serving(state: RecoveryState, serving: list[RecoveryInstance]) -> RecoveryPlan:
    data = serving[0].data
    if state.mode == "rds" or len(serving) > 1 or data is None or not data.reachable or data.has_data:
        return RecoveryPlan("none")
    if state.backup is None or not state.backup.fingerprint.rows:
        return RecoveryPlan("none")
    return RecoveryPlan("restore", (serving[0].id,), "backup")


def _plan_on_instance(state: RecoveryState) -> RecoveryPlan:
    """Plan for a database on the root disk of the only instance."""
    if len(state.instances) > 1:
        ids = ", ".join(instance.id for instance in state.instances)
        reason = f"{len(state.instances)} instances have a database each, and the authoritative copy is unknown: {ids}"
        return RecoveryPlan("replace", blockers=(f"{reason} (./invoke terminate --instance i-… backs one up)",))
    if not state.instances:
        return RecoveryPlan("replace", state.members, *_rows_of_backup(state))
    instance = state.instances[0]
    if instance.state in ("stopping", "stopped") and not state.restarted:
        return RecoveryPlan("start", (instance.id,), "instance")
    if instance.readable:
        assert instance.data is not None
        if instance.data.has_data:
            return RecoveryPlan("replace", (instance.id,), "instance")
        return RecoveryPlan("replace", (instance.id,), *_rows_of_backup(state))
    if not state.restarted:
        return RecoveryPlan("restart", (instance.id,), "instance")
    rows, losses = _rows_of_backup(state)
    lost = f"the rows of {instance.id}, which cannot be read: {instance.unreadable_reason}"
    return RecoveryPlan("replace", (instance.id,), rows, (lost, *losses))


def _rows_of_backup(state: RecoveryState) -> tuple[RowSource, tuple[str, ...]]:
    if state.backup is not None:
        return "backup", ()
    return "none", ("all rows: there is no backup that can be restored, and the new database is empty",)


def _plan_outside(state: RecoveryState) -> RecoveryPlan:
    """Plan for a database on a volume or an external server, which survives the instances."""
    failed = [instance for instance in state.instances if not instance.serving]
    gone = [member for member in state.members if member not in {instance.id for instance in state.instances}]
    losses = [
        f"{instance.data.rows} row(s) on the root disk of {instance.id}"
        for instance in failed
        if instance.data is not None and instance.data.has_data and not instance.data.volume
    ]
    replaced = (*(instance.id for instance in failed), *gone)
    if state.mode == "rds":
        return RecoveryPlan("replace", replaced, "external", tuple(losses))
    if not state.volume_lost or state.snapshot:
        return RecoveryPlan("replace", replaced, "volume", tuple(losses))
    rows, missing = _rows_of_backup(state)
    return RecoveryPlan("replace", replaced, rows, (*losses, *missing))
