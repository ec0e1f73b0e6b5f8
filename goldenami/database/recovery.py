"""Settle a handover: on, once the rows have arrived, else back; after a crash, a failure, or at its ordinary end."""

from __future__ import annotations

from collections.abc import Sequence

from goldenami.aws import auto_scaling, instances, launch_templates, load_balancers, run_command
from goldenami.context import Context
from goldenami.database import backup, freeze, relocate, transfer, volume
from goldenami.database.switchover_model import Switchover
from goldenami.errors import GateError
from goldenami.infra import wait
from goldenami.model.fleet import AutoScalingGroup

# What a group does by itself, and must not do while two of its instances hold the same rows.
AUTOMATIC_PROCESSES = (
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
)


def client_token(switchover: Switchover) -> str:
    """The client token of the instance that a handover launches: it finds it again, whoever looks."""
    return f"{switchover.run}-handover"


def has_unfinished(ctx: Context) -> bool:
    """Whether somebody has left a handover half-way, or writes that are stopped."""
    return transfer.load(ctx) is not None or freeze.load(ctx) is not None


def recover(ctx: Context) -> bool:
    """End what somebody has left: a pause, and a handover: on, if the rows have arrived, else back. Safe to repeat.

    Returns:
        Whether anything was left.

    Raises:
        GateError: The instance with the rows does not serve; or it has ended, and its rows with it.
    """
    paused = freeze.end_stale_freeze(ctx) is not None
    switchover = transfer.load(ctx)
    if switchover is None:
        return paused
    for instance in filter(None, (switchover.source, switchover.target)):
        run_command.wait_for_queued(ctx.aws, ctx.clock, instance)
    if switchover.method == "volume" and fail_over_volume(ctx, switchover):
        return True
    if switchover.storage_mode == "instance" and fail_over_backup(ctx, switchover):
        return True
    if switchover.data_arrived:
        ctx.progress.info(f"a handover was left when its rows had arrived on {switchover.target}: going on with it")
        complete(ctx, relocate.relaunch_target(ctx, switchover))
    elif switchover.is_reversal:
        ctx.progress.info(f"a way back was left half-way; every row is on {switchover.source}")
        transfer.abort(ctx, switchover)
        complete(ctx, switchover.reverted(_version(ctx, switchover.source, switchover.version)))
    else:
        roll_back(ctx, switchover)
    return True


def fail_over_volume(ctx: Context, switchover: Switchover) -> Switchover | None:
    """A volume outlives its instance: when the one that was to have it has ended meanwhile, the other takes it.

    Returns:
        What was settled so; None where that one stands, or nothing has moved yet.
    """
    if switchover.step == "launching" or not instances.gone(ctx.aws, switchover.primary):
        return None
    other = switchover.source if switchover.data_arrived else switchover.target
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if instances.gone(ctx.aws, other):
        ctx.progress.info(f"both instances of a handover have ended: {ctx.names.group} launches one for the volume")
        if group is not None:
            # Not one for each of the two that were in it: the desired size goes down with the maximum.
            auto_scaling.update(ctx.aws, {"AutoScalingGroupName": group.name, "MaxSize": switchover.max_size})
            auto_scaling.resume(
                ctx.aws, group.name, [p for p in AUTOMATIC_PROCESSES if p not in switchover.suspended_after]
            )
            wait.wait_until_serving(ctx)
            _release(ctx, group, switchover.max_size, switchover.suspended_after)
        transfer.clear(ctx)
        return switchover
    ctx.progress.info(f"{switchover.primary} has ended; {other} takes the volume with every row")
    volume.attach_and_mount(ctx, other)
    transfer.resume_service(ctx, other)
    return _switch_to(ctx, switchover, other)


def fail_over_backup(ctx: Context, switchover: Switchover) -> Switchover | None:
    """Rows on an instance's own disk end with it: the other one of the two serves, with the last copy that there is.

    Returns:
        What was settled so; None where the one with the rows stands, or nothing has moved yet.

    Raises:
        GateError: There is no copy but an unfinished one, or nobody to take it; nothing is under way any more.
    """
    if switchover.step == "launching" or not instances.gone(ctx.aws, switchover.primary):
        return None
    ended, other = switchover.primary, switchover.source if switchover.data_arrived else switchover.target
    # Taken when nobody could write any more, so where it is whole not a row is missing.
    saved = None if switchover.data_arrived else backup.find_backup(ctx, transfer.backup_id(switchover))
    copied = saved is not None or switchover.data_arrived or switchover.is_reversal
    if instances.gone(ctx.aws, other) or not copied:
        for one in instances.find_by_client_token(ctx.aws, client_token(switchover)):
            instances.terminate(ctx.aws, ctx.clock, one.id)
        if (group := auto_scaling.get(ctx.aws, ctx.names.group)) is not None:
            _release(ctx, group, switchover.max_size, switchover.suspended)
        transfer.clear(ctx)
        raise GateError(
            f"{ended} has ended, and its disk with every row: "
            + (f"so has {other}" if copied else "their backup was not finished"),
            state="Nobody is served. What backups hold is safe.",
            next="./invoke db.list, ./invoke fleet.show; an instance that serves again takes one with ./invoke db.restore",
        )
    if saved is not None:
        ctx.progress.info(
            f"{ended} has ended, and its disk with it; {other} takes every row from the backup {saved.id}"
        )
        transfer.restore_and_swap_in(ctx, other, saved, replace=switchover.replaces)
    else:
        ctx.progress.info(
            f"{ended} has ended, and what was written on it since it took over is LOST with its disk; {other} serves again"
            " with every row from before"
        )
    transfer.resume_service(ctx, other)
    return _switch_to(ctx, switchover, other)


def _switch_to(ctx: Context, switchover: Switchover, other: str) -> Switchover:
    """The one with the rows has ended, and the other has them now: the rest of a handover to that one."""
    if switchover.data_arrived:
        switchover = switchover.failed_over(_version(ctx, other, switchover.version))
    switchover = transfer.save(ctx, switchover.advance("opened"))
    complete(ctx, switchover)
    return switchover


def _version(ctx: Context, instance: str, otherwise: int) -> int:
    """The version of the launch template that a member of the group runs; another where it is none."""
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    return next((m.version for m in group.members if m.id == instance), otherwise) if group else otherwise


def roll_back(ctx: Context, switchover: Switchover) -> None:
    """Before the rows have arrived: the source serves on, and what was launched goes.

    A source that has ended, and left its rows on a server or a volume, is replaced by its group as soon as that may again.
    """
    if switchover.step == "moving" and (
        switchover.storage_mode == "instance" or not instances.gone(ctx.aws, switchover.source)
    ):
        transfer.abort(ctx, switchover)
    there = instances.find_by_client_token(ctx.aws, client_token(switchover))
    relocate.undo(ctx, switchover, [one.id for one in there])
    for one in there:
        instances.terminate(ctx.aws, ctx.clock, one.id)
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if group is not None:
        _release(ctx, group, switchover.max_size, switchover.suspended)
    transfer.clear(ctx)


def complete(ctx: Context, switchover: Switchover) -> None:
    """After the rows have arrived: the target is the group's one instance, of its version, or takes the requests without one;
    the source goes.
    """
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if group is not None:
        attach_target(ctx, switchover)
        group = auto_scaling.get(ctx.aws, ctx.names.group) or group
        if any(m.id == switchover.source for m in group.members):
            auto_scaling.detach(ctx.aws, group.name, switchover.source)
        most = relocate.max_size(ctx, switchover)
        pin_launch_version(ctx, group, switchover.version, most)
        _release(ctx, group, most, switchover.suspended_after)
    elif targets := load_balancers.get_target_group(ctx.aws, ctx.names.target_group):
        load_balancers.register(ctx.aws, targets, switchover.target)
        load_balancers.deregister(ctx.aws, ctx.clock, targets, switchover.source)
    if switchover.is_reversal:
        relocate.undo(ctx, switchover, [switchover.source])
    instances.terminate(ctx.aws, ctx.clock, switchover.source)
    if not switchover.is_reversal:
        relocate.release_source(ctx, switchover)
    transfer.clear(ctx)


def attach_target(ctx: Context, switchover: Switchover) -> None:
    """Make room for one more, and let the target in."""
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if group is None or any(m.id == switchover.target for m in group.members):
        return
    auto_scaling.suspend(ctx.aws, group.name, AUTOMATIC_PROCESSES)
    if group.max < group.desired + 1:
        auto_scaling.update(ctx.aws, {"AutoScalingGroupName": group.name, "MaxSize": group.desired + 1})
    auto_scaling.attach(ctx.aws, group.name, switchover.target)


def pin_launch_version(ctx: Context, group: AutoScalingGroup, version: int, most: int) -> None:
    """What the group launches from now on, and how many at most."""
    template = launch_templates.get(ctx.aws, ctx.names.launch_template)
    assert template is not None
    wanted = {"LaunchTemplateId": template.id, "Version": str(version)}
    auto_scaling.update(ctx.aws, {"AutoScalingGroupName": group.name, "MaxSize": most, "LaunchTemplate": wanted})


def _release(ctx: Context, group: AutoScalingGroup, most: int, still: Sequence[str]) -> None:
    """Let the group do again by itself what it may: to mark whoever is not well, for good, and to replace those."""
    wait.wait_until_healthy(ctx, group.grace)
    if group.max != most:
        auto_scaling.update(ctx.aws, {"AutoScalingGroupName": group.name, "MaxSize": most})
    auto_scaling.resume(ctx.aws, group.name, [p for p in AUTOMATIC_PROCESSES if p not in still])
