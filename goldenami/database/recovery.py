"""Complete or roll back a switchover: at its regular end, after a failure, or after a crash."""

from __future__ import annotations

from goldenami.aws import auto_scaling, instances, run_command
from goldenami.context import Context
from goldenami.database import (
    backup,
    freeze,
    membership,
    release_instance,
    relocate,
    restoration,
    switchover_end,
    transfer,
    volume,
)
from goldenami.database.switchover_model import Switchover
from goldenami.errors import GateError, GoldenError
from goldenami.infra import wait
from goldenami.state.lock import HeldLock


def has_unfinished(ctx: Context) -> bool:
    """Return True if a switchover or a write freeze was interrupted."""
    return transfer.load(ctx) is not None or freeze.load(ctx) is not None


def recover(ctx: Context, held_lock: HeldLock | None = None) -> bool:
    """Recover from an interrupted operation.

    Ends a stale write freeze, then completes a switchover whose data was transferred, or rolls it back. Idempotent.

    Args:
        held_lock: With it, the data is transferred back from a target that does not serve.

    Raises:
        GateError: The primary does not serve, or was terminated together with its data.
    """
    release_instance.terminate_all(ctx)
    had_freeze = freeze.end_stale_freeze(ctx) is not None
    switchover = transfer.load(ctx)
    if switchover is None:
        return had_freeze
    for instance in filter(None, (switchover.source, switchover.target)):
        run_command.wait_for_queued(ctx.aws, ctx.clock, instance)
    if switchover.method == "volume" and fail_over_volume(ctx, switchover):
        return True
    if switchover.storage_mode == "instance" and fail_over_backup(ctx, switchover):
        return True
    if switchover.data_arrived:
        ctx.progress.info(
            f"a switchover was interrupted after its data was transferred to {switchover.target}: completing it"
        )
        switchover = relocate.relaunch_target(ctx, switchover)
        membership.attach_target(ctx, switchover)
        reason = membership.unprotected_reason(ctx, switchover, ctx.recipe.fleet.health_check_grace_period)
        reason = reason or _open_writes(ctx, switchover) or switchover_end.reason_to_keep_source(ctx, switchover)
        if held_lock is not None and reason and not switchover.is_reversal:
            _return_data(ctx, held_lock, switchover, reason)
        else:
            switchover_end.complete(ctx, switchover, checked=not reason)
    elif switchover.is_reversal:
        ctx.progress.info(f"the reversal of a switchover was interrupted; {switchover.source} is the primary")
        transfer.abort(ctx, switchover)
        switchover_end.complete(ctx, switchover.reverted(_launch_version(ctx, switchover.source, switchover.version)))
    else:
        switchover_end.roll_back(ctx, switchover)
    return True


def fail_over_volume(ctx: Context, switchover: Switchover) -> Switchover | None:
    """Attach the volume to the other instance if the primary was terminated.

    Returns:
        The completed switchover; None if the primary runs, or the transfer has not begun.
    """
    if switchover.step == "launching" or not instances.is_terminated(ctx.aws, switchover.primary):
        return None
    standby = switchover.standby
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if instances.is_terminated(ctx.aws, standby):
        ctx.progress.info(
            f"both instances of a switchover were terminated: {ctx.names.group} launches one for the volume"
        )
        if group is not None:
            # One instance, not one for each of the two: the maximum also limits the desired capacity.
            auto_scaling.update(ctx.aws, {"AutoScalingGroupName": group.name, "MaxSize": switchover.max_size})
            membership.release(ctx, switchover, switchover.max_size, switchover.suspended_after)
            wait.wait_until_serving(ctx)
        transfer.clear(ctx)
        return switchover
    ctx.progress.info(f"{switchover.primary} was terminated: failing over to {standby} with the volume")
    volume.attach_and_mount(ctx, standby)
    transfer.resume_service(ctx, standby)
    return _complete_failover(ctx, switchover, standby)


def fail_over_backup(ctx: Context, switchover: Switchover) -> Switchover | None:
    """Restore the latest copy on the other instance if the primary was terminated, and its root disk with it.

    Returns:
        The completed switchover; None if the primary runs, or the transfer has not begun.

    Raises:
        GateError: There is no complete copy, or no instance to restore it on; the switchover is cleared.
    """
    if switchover.step == "launching" or not instances.is_terminated(ctx.aws, switchover.primary):
        return None
    if switchover.backup and not switchover.data_arrived:  # nothing was given up: the recovery starts again
        return None
    primary, standby = switchover.primary, switchover.standby
    # Taken while writes were stopped: a complete backup has all data.
    manifest = None if switchover.data_arrived else backup.find_backup(ctx, transfer.backup_id(switchover))
    has_copy = manifest is not None or switchover.is_reversal or (switchover.data_arrived and not switchover.backup)
    if instances.is_terminated(ctx.aws, standby) or not has_copy:
        for launched in instances.find_by_client_token(ctx.aws, switchover_end.client_token(switchover)):
            instances.terminate(ctx.aws, ctx.clock, launched.id)
        membership.release(ctx, switchover, switchover.max_size, switchover.suspended)
        transfer.clear(ctx)
        raise GateError(
            f"{primary} was terminated, and its disk with all data: "
            + (
                f"so was {standby}"
                if has_copy
                else "no other instance has it"
                if switchover.backup
                else "its backup was not complete"
            ),
            state="The service is down. Earlier backups are intact.",
            next="./invoke recover, which restores the newest backup",
        )
    if manifest is not None:
        ctx.progress.info(
            f"{primary} was terminated, and its disk with it: failing over to {standby} with the backup {manifest.id}"
        )
        restoration.restore_and_swap_in(ctx, standby, manifest, replace=switchover.replaces)
    else:
        ctx.progress.info(
            f"{primary} was terminated, and what was written on it since the switchover is LOST with its disk: failing over to"
            f" {standby} with the data from before"
        )
    transfer.resume_service(ctx, standby)
    return _complete_failover(ctx, switchover, standby)


def _complete_failover(ctx: Context, switchover: Switchover, standby: str) -> Switchover:
    if switchover.data_arrived:
        switchover = switchover.failed_over(_launch_version(ctx, standby, switchover.version))
    switchover = transfer.save(ctx, switchover.advance("opened"))
    switchover_end.complete(ctx, switchover)
    return switchover


def _launch_version(ctx: Context, instance: str, default: int) -> int:
    """Return the launch template version of a member of the group; a default if the instance is not a member."""
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    return next((m.version for m in group.members if m.id == instance), default) if group else default


def _open_writes(ctx: Context, switchover: Switchover) -> str:
    """Open writes on a target that may still be read-only; return why that failed."""
    try:
        if switchover.storage_mode == "instance":
            transfer.open_writes(ctx, switchover.target)
    except GoldenError as error:
        return error.message
    return ""


def _return_data(ctx: Context, held_lock: HeldLock, switchover: Switchover, reason: str) -> None:
    """Transfer the current data back to the source, which then serves again, and terminate the target."""
    ctx.progress.info(f"{reason}: transferring the current data back to {switchover.source}")
    version = _launch_version(ctx, switchover.source, switchover.version)
    try:
        result = transfer.transfer(
            ctx, held_lock, switchover.reversed(version), ctx.recipe.fleet.health_check_grace_period
        )
    except GoldenError as error:
        transfer.save(ctx, switchover)
        raise GateError(
            f"{reason}; and its data cannot be transferred back: {error.message}",
            state=f"{switchover.target} has all data; {switchover.source} is running with its writes stopped, and has the data"
            " from before.",
            next=f"./invoke rollback tries again; ./invoke terminate --instance {switchover.target} --decrement --lose-data, then"
            " ./invoke rollback, returns to the data from before",
        ) from None
    if result.read_only:
        transfer.open_writes(ctx, switchover.source)
    switchover_end.complete(ctx, result.switchover)
