"""Carry the rows of one instance to another: stop writes, back up, restore, compare, and only then let anybody write again.

Every step is written down before it is taken (values/handover.py), so that whoever comes after a crash finds the rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from goldenami.aws import parameters, s3
from goldenami.context import Context
from goldenami.database import agent, backup, volume
from goldenami.database.backup_model import Manifest, differences, parse_fingerprint
from goldenami.database.switchover_model import Switchover, TransferMethod, parse_switchover
from goldenami.errors import GateError, GoldenError
from goldenami.model.names import prefix
from goldenami.state.lock import HeldLock
from goldenami.text import seconds


@dataclass(frozen=True)
class TransferResult:
    """Rows that have arrived, and since when nobody could write (the clock's seconds)."""

    switchover: Switchover
    frozen_since: float


def parameter(ctx: Context) -> str:
    """The parameter that says where the rows are while they go from one instance to another."""
    return f"/goldenami/{ctx.name}/handover"


def load(ctx: Context) -> Switchover | None:
    """The handover that is under way, or was when somebody died."""
    found = parameters.get(ctx.aws, parameter(ctx))
    return parse_switchover(found.value) if found else None


def save(ctx: Context, switchover: Switchover) -> Switchover:
    """Write down where it stands."""
    parameters.overwrite(ctx.aws, parameter(ctx), switchover.text())
    return switchover


def clear(ctx: Context) -> None:
    """It is over."""
    parameters.delete(ctx.aws, parameter(ctx))


def transfer_method(ctx: Context) -> TransferMethod:
    """How rows go from one instance to another."""
    return "volume" if ctx.recipe.database.on_volume else "backup"


def source_has_data(ctx: Context, instance: str) -> bool:
    """Whether an instance has what it is to hand over: a volume may not have come to it, its own disk always has."""
    return transfer_method(ctx) != "volume" or volume.is_attached_to(ctx, instance)


def transfer(ctx: Context, held_lock: HeldLock, switchover: Switchover) -> TransferResult:
    """Carry the rows from the source to the target, which is up and has never served.

    When it fails, the source is open again and serves, with all its rows.

    Raises:
        GateError: It did not work; the rows are still where they were.
    """
    if switchover.method == "backup":
        agent.ensure_backup_bucket(ctx)
    switchover = save(ctx, switchover.advance("moving"))
    source, target = switchover.source, switchover.target
    began = ctx.clock.monotonic()
    ctx.progress.info(f"writes stop on {source}")
    try:
        if switchover.method == "volume":
            volume.attach_and_mount(ctx, target, snapshot=f"before {switchover.run} brought it to {target}")
            told = f"every row is on {target}, with its volume"
        else:
            identity = backup_id(switchover)
            agent.run(ctx, source, "stop-writes", backup=identity)
            manifest = backup.take_backup(ctx, source, identity, f"handover to {target}", heartbeat=held_lock.heartbeat)
            restore_and_swap_in(ctx, target, manifest, replace=switchover.replaces, heartbeat=held_lock.heartbeat)
            told = f"{manifest.fingerprint.rows} row(s) are on {target}, compared table by table"
        held_lock.verify_held()
        agent.run(ctx, target, "resume")
    except BaseException as error:
        abort(ctx, switchover)
        if not isinstance(error, GoldenError):
            raise
        raise GateError(
            f"the rows of {source} could not be carried to {target}: {error.message}",
            state=f"{source} takes writes again, with all its rows; they were stopped for"
            f" {seconds(ctx.clock.monotonic() - began)}.",
            next=error.next,
        ) from None
    switchover = save(ctx, switchover.advance("opened"))
    ctx.progress.info(told)
    return TransferResult(switchover, began)


def restore_and_swap_in(
    ctx: Context, instance: str, manifest: Manifest, *, replace: bool, heartbeat: Callable[[], object] = lambda: None
) -> None:
    """Restore a backup beside what an instance has, compare it with its manifest, and only then put it in its place.

    Raises:
        GateError: It differs, or does not work; what the instance had is still there.
    """
    restore(ctx, instance, manifest, replace=replace, heartbeat=heartbeat)
    agent.run(ctx, instance, "swap-in", backup=manifest.id, replace=replace)


def restore(
    ctx: Context, instance: str, manifest: Manifest, *, replace: bool, heartbeat: Callable[[], object] = lambda: None
) -> None:
    """The first half of that: it is restored and compared, and counts for nothing yet.

    Raises:
        GateError: It differs, or does not work; what the instance had is still there.
    """
    result = f"restored-{instance}.json"
    agent.run(ctx, instance, "restore", backup=manifest.id, result=result, replace=replace, heartbeat=heartbeat)
    text = s3.get(ctx.aws, agent.backup_bucket(ctx), f"{prefix(ctx.name, manifest.id)}/{result}")
    wrong = differences(manifest, parse_fingerprint(json.loads(text))) if text else ["it was not compared"]
    if wrong:
        raise GateError(
            f"what was restored on {instance} is not what {manifest.id} holds: {'; '.join(wrong[:10])}",
            state="What the instance had is still there.",
            next="./invoke db.verify",
        )


def abort(ctx: Context, switchover: Switchover) -> None:
    """Before the rows have arrived: the source serves again, with all of them. Safe to repeat.

    Raises:
        GateError: It does not; the rows are there.
    """
    if switchover.method == "volume":
        if not switchover.source_had_volume:
            return
        try:
            volume.attach_and_mount(ctx, switchover.source, stop_holder=True)
        except GoldenError as error:
            raise GateError(
                f"the volume with every row does not come back to {switchover.source}: {error.message}",
                state=error.state or "Nobody is served; the rows are on the volume.",
                next=error.next or "./invoke rollback tries again",
            ) from None
    resume_service(ctx, switchover.source)


def resume_service(ctx: Context, instance: str) -> None:
    """Let an instance whose writes were stopped serve again.

    Raises:
        GateError: It does not; its rows are there.
    """
    try:
        agent.run(ctx, instance, "resume")
    except GoldenError as error:
        raise GateError(
            f"{instance} has all its rows, but does not serve again: {error.message}",
            state="Its writes may still be stopped.",
            next=f"./invoke logs --instance {instance}; the same command tries again",
        ) from None


def backup_id(switchover: Switchover) -> str:
    """The backup of a handover: one for each direction."""
    return f"{switchover.run}-back" if switchover.is_reversal else f"{switchover.run}-carry"
