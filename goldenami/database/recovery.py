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


def token(handover: Switchover) -> str:
    """The client token of the instance that a handover launches: it finds it again, whoever looks."""
    return f"{handover.run}-handover"


def has_unfinished(shop: Context) -> bool:
    """Whether somebody has left a handover half-way, or writes that are stopped."""
    return transfer.load(shop) is not None or freeze.load(shop) is not None


def recover(shop: Context) -> bool:
    """End what somebody has left: a pause, and a handover: on, if the rows have arrived, else back. Safe to repeat.

    Returns:
        Whether anything was left.

    Raises:
        GateError: The instance with the rows does not serve; or it has ended, and its rows with it.
    """
    paused = freeze.end_stale_freeze(shop) is not None
    handover = transfer.load(shop)
    if handover is None:
        return paused
    for instance in filter(None, (handover.source, handover.target)):
        run_command.wait_for_queued(shop.aws, shop.clock, instance)
    if handover.by == "volume" and fail_over_volume(shop, handover):
        return True
    if handover.home == "instance" and fail_over_backup(shop, handover):
        return True
    if handover.done:
        shop.progress.say(f"a handover was left when its rows had arrived on {handover.target}: going on with it")
        complete(shop, relocate.relaunch_target(shop, handover))
    elif handover.back:
        shop.progress.say(f"a way back was left half-way; every row is on {handover.source}")
        transfer.abort(shop, handover)
        complete(shop, handover.stayed(_version(shop, handover.source, handover.version)))
    else:
        roll_back(shop, handover)
    return True


def fail_over_volume(shop: Context, handover: Switchover) -> Switchover | None:
    """A volume outlives its instance: when the one that was to have it has ended meanwhile, the other takes it.

    Returns:
        What was settled so; None where that one stands, or nothing has moved yet.
    """
    if handover.step == "launching" or not instances.gone(shop.aws, handover.truth):
        return None
    other = handover.source if handover.done else handover.target
    group = auto_scaling.get(shop.aws, shop.names.group)
    if instances.gone(shop.aws, other):
        shop.progress.say(f"both instances of a handover have ended: {shop.names.group} launches one for the volume")
        if group is not None:
            # Not one for each of the two that were in it: the desired size goes down with the maximum.
            auto_scaling.update(shop.aws, {"AutoScalingGroupName": group.name, "MaxSize": handover.max})
            auto_scaling.resume(shop.aws, group.name, [p for p in AUTOMATIC_PROCESSES if p not in handover.alone])
            wait.wait_until_serving(shop)
            _release(shop, group, handover.max, handover.alone)
        transfer.clear(shop)
        return handover
    shop.progress.say(f"{handover.truth} has ended; {other} takes the volume with every row")
    volume.attach_and_mount(shop, other)
    transfer.resume_service(shop, other)
    return _switch_to(shop, handover, other)


def fail_over_backup(shop: Context, handover: Switchover) -> Switchover | None:
    """Rows on an instance's own disk end with it: the other one of the two serves, with the last copy that there is.

    Returns:
        What was settled so; None where the one with the rows stands, or nothing has moved yet.

    Raises:
        GateError: There is no copy but an unfinished one, or nobody to take it; nothing is under way any more.
    """
    if handover.step == "launching" or not instances.gone(shop.aws, handover.truth):
        return None
    ended, other = handover.truth, handover.source if handover.done else handover.target
    # Taken when nobody could write any more, so where it is whole not a row is missing.
    saved = None if handover.done else backup.find_backup(shop, transfer.backup_id(handover))
    copied = saved is not None or handover.done or handover.back
    if instances.gone(shop.aws, other) or not copied:
        for one in instances.find_by_client_token(shop.aws, token(handover)):
            instances.terminate(shop.aws, shop.clock, one.id)
        if (group := auto_scaling.get(shop.aws, shop.names.group)) is not None:
            _release(shop, group, handover.max, handover.suspended)
        transfer.clear(shop)
        raise GateError(
            f"{ended} has ended, and its disk with every row: "
            + (f"so has {other}" if copied else "their backup was not finished"),
            state="Nobody is served. What backups hold is safe.",
            next="./invoke db.list, ./invoke fleet.show; an instance that serves again takes one with ./invoke db.restore",
        )
    if saved is not None:
        shop.progress.say(
            f"{ended} has ended, and its disk with it; {other} takes every row from the backup {saved.id}"
        )
        transfer.restore_and_swap_in(shop, other, saved, replace=handover.replaces)
    else:
        shop.progress.say(
            f"{ended} has ended, and what was written on it since it took over is LOST with its disk; {other} serves again"
            " with every row from before"
        )
    transfer.resume_service(shop, other)
    return _switch_to(shop, handover, other)


def _switch_to(shop: Context, handover: Switchover, other: str) -> Switchover:
    """The one with the rows has ended, and the other has them now: the rest of a handover to that one."""
    if handover.done:
        handover = handover.outlived(_version(shop, other, handover.version))
    handover = transfer.save(shop, handover.at("opened"))
    complete(shop, handover)
    return handover


def _version(shop: Context, instance: str, otherwise: int) -> int:
    """The version of the launch template that a member of the group runs; another where it is none."""
    group = auto_scaling.get(shop.aws, shop.names.group)
    return next((m.version for m in group.members if m.id == instance), otherwise) if group else otherwise


def roll_back(shop: Context, handover: Switchover) -> None:
    """Before the rows have arrived: the source serves on, and what was launched goes.

    A source that has ended, and left its rows on a server or a volume, is replaced by its group as soon as that may again.
    """
    if handover.step == "moving" and (handover.home == "instance" or not instances.gone(shop.aws, handover.source)):
        transfer.abort(shop, handover)
    there = instances.find_by_client_token(shop.aws, token(handover))
    relocate.undo(shop, handover, [one.id for one in there])
    for one in there:
        instances.terminate(shop.aws, shop.clock, one.id)
    group = auto_scaling.get(shop.aws, shop.names.group)
    if group is not None:
        _release(shop, group, handover.max, handover.suspended)
    transfer.clear(shop)


def complete(shop: Context, handover: Switchover) -> None:
    """After the rows have arrived: the target is the group's one instance, of its version, or takes the requests without one;
    the source goes.
    """
    group = auto_scaling.get(shop.aws, shop.names.group)
    if group is not None:
        attach(shop, handover)
        group = auto_scaling.get(shop.aws, shop.names.group) or group
        if any(m.id == handover.source for m in group.members):
            auto_scaling.detach(shop.aws, group.name, handover.source)
        most = relocate.max_size(shop, handover)
        pin_launch_version(shop, group, handover.version, most)
        _release(shop, group, most, handover.alone)
    elif targets := load_balancers.get_target_group(shop.aws, shop.names.target_group):
        load_balancers.register(shop.aws, targets, handover.target)
        load_balancers.deregister(shop.aws, shop.clock, targets, handover.source)
    if handover.back:
        relocate.undo(shop, handover, [handover.source])
    instances.terminate(shop.aws, shop.clock, handover.source)
    if not handover.back:
        relocate.release_source(shop, handover)
    transfer.clear(shop)


def attach(shop: Context, handover: Switchover) -> None:
    """Make room for one more, and let the target in."""
    group = auto_scaling.get(shop.aws, shop.names.group)
    if group is None or any(m.id == handover.target for m in group.members):
        return
    auto_scaling.suspend(shop.aws, group.name, AUTOMATIC_PROCESSES)
    if group.max < group.desired + 1:
        auto_scaling.update(shop.aws, {"AutoScalingGroupName": group.name, "MaxSize": group.desired + 1})
    auto_scaling.attach(shop.aws, group.name, handover.target)


def pin_launch_version(shop: Context, group: AutoScalingGroup, version: int, most: int) -> None:
    """What the group launches from now on, and how many at most."""
    template = launch_templates.get(shop.aws, shop.names.template)
    assert template is not None
    wanted = {"LaunchTemplateId": template.id, "Version": str(version)}
    auto_scaling.update(shop.aws, {"AutoScalingGroupName": group.name, "MaxSize": most, "LaunchTemplate": wanted})


def _release(shop: Context, group: AutoScalingGroup, most: int, still: Sequence[str]) -> None:
    """Let the group do again by itself what it may: to mark whoever is not well, for good, and to replace those."""
    wait.wait_until_healthy(shop, group.grace)
    if group.max != most:
        auto_scaling.update(shop.aws, {"AutoScalingGroupName": group.name, "MaxSize": most})
    auto_scaling.resume(shop.aws, group.name, [p for p in AUTOMATIC_PROCESSES if p not in still])
