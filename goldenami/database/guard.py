"""The guard: no instance that has data is replaced or terminated before the data is safe, whatever the recipe says."""

from __future__ import annotations

import string
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from goldenami.context import Context
from goldenami.database import agent, backup, volume
from goldenami.database.guard_plan import InstanceData, data_blockers
from goldenami.errors import GateError, GoldenError
from goldenami.model.image import Image
from goldenami.state.lock import HeldLock


def inspect_instances(ctx: Context, instances: Sequence[str]) -> list[InstanceData]:
    """Return what data each instance has."""
    with ThreadPoolExecutor() as pool:  # parallel, because each command takes about a second
        return list(pool.map(lambda instance: agent.inspect(ctx, instance), instances))


def raise_if_data_would_be_lost(ctx: Context, instances: Sequence[str], image: Image) -> None:
    """Raise GateError with all reasons why instances cannot be replaced by instances of this image without losing data."""
    if reasons := blockers(ctx, instances, image):
        raise GateError("; ".join(reasons), state="No changes were made.", next="./invoke status")


def blockers(ctx: Context, instances: Sequence[str], image: Image) -> list[str]:
    """Return the reasons why instances cannot be replaced by instances of this image; empty if they can."""
    with ctx.progress.phase(f"inspecting the data of {len(instances)} instance(s)"):
        inspected = inspect_instances(ctx, instances)
    for data in (d for d in inspected if not d.reachable):
        ctx.progress.info(f"cannot inspect {data.instance}: {data.reason}")
    return list(data_blockers(ctx.recipe, inspected, image))


def inspect_before_termination(
    ctx: Context, instances: Sequence[str], *, lose_data: bool = False
) -> list[InstanceData]:
    """Return what data each instance has, before its writes are stopped.

    Raises:
        GateError: An instance that may have the only copy of its data cannot be inspected, so it cannot be backed up.
    """
    inspected = inspect_instances(ctx, instances)
    for data in inspected:
        if data.reachable or lose_data or not ctx.recipe.database.on_instance or _is_on_volume(ctx, data):
            continue
        fix = "fix the cause"
        if data.reason.endswith("stopped"):
            fix = f"aws ec2 start-instances --instance-ids {data.instance}, then the same command"
        raise GateError(
            f"cannot back up the database of {data.instance}: {data.reason}",
            state="No changes were made, and no writes were stopped.",
            next=f"{fix}; or the same command with --lose-data (the data will be lost)",
        )
    return inspected


def instances_to_freeze(ctx: Context, inspected: Sequence[InstanceData], *, lose_data: bool) -> tuple[str, ...]:
    """Return the instances whose writes `backup_before_termination` stops, to back them up or to unmount their volume."""
    return tuple(
        data.instance
        for data in inspected
        if data.reachable and (data.volume or (not lose_data and _needs_backup(ctx, data, on_volume=False)))
    )


def backup_before_termination(
    ctx: Context, held_lock: HeldLock, run: str, inspected: Sequence[InstanceData], why: str, *, lose_data: bool = False
) -> list[str]:
    """Stop writes and back up the database of every inspected instance, which is about to be terminated.

    Must run inside a write freeze (database/freeze.py), which resumes writes if a backup fails. A volume is unmounted; it
    survives the instance also without a backup.

    Args:
        lose_data: Skip the backups. Data that is not on a volume is lost.

    Raises:
        GateError: A backup failed; the instance keeps running.
    """
    backups: list[str] = []
    for data in inspected:
        instance, on_volume = data.instance, _is_on_volume(ctx, data)
        needs_backup = _needs_backup(ctx, data, on_volume=on_volume)
        if needs_backup and not lose_data:
            backup_id = f"{run}-{string.ascii_lowercase[len(backups)]}"
            _back_up(ctx, held_lock, data, backup_id, why, on_volume=on_volume)
            backups.append(backup_id)
            ctx.progress.info(f"the database of {instance} is in the backup {backup_id} (./invoke db.restore)")
        elif needs_backup and not on_volume:
            ctx.progress.info(f"LOSING the data of {instance} (--lose-data)")
        if on_volume:
            if data.reachable:
                volume.unmount(ctx, instance)
            ctx.progress.info(f"the data of {instance} is kept on {data.volume or 'its volume'}")
    return backups


def _is_on_volume(ctx: Context, data: InstanceData) -> bool:
    if not data.reachable and ctx.recipe.database.on_volume:
        return volume.is_attached_to(ctx, data.instance)
    return bool(data.volume)


def _needs_backup(ctx: Context, data: InstanceData, *, on_volume: bool) -> bool:
    if on_volume:
        return data.reachable and data.server_running
    return data.has_data or (not data.reachable and ctx.recipe.database.on_instance)


def _back_up(
    ctx: Context, held_lock: HeldLock, data: InstanceData, backup_id: str, why: str, *, on_volume: bool
) -> None:
    try:
        if not data.reachable:
            raise GateError(data.reason)
        agent.ensure_backup_bucket(ctx)
        agent.run(ctx, data.instance, "stop-writes", backup=backup_id)
        backup.take_backup(ctx, data.instance, backup_id, why, heartbeat=held_lock.heartbeat)
    except GoldenError as error:
        loss = "without a backup; the volume is kept" if on_volume else "the data will be lost"
        raise GateError(
            f"cannot back up the database of {data.instance}: {error.message}",
            state="The instance was not terminated.",
            next=f"fix the cause, or run the same command with --lose-data ({loss})",
        ) from None
