"""Settle a handover: on, once the rows have arrived, else back; after a crash, a failure, or at its ordinary end."""

from __future__ import annotations

from collections.abc import Sequence

from goldenami.aws import auto_scaling as groups
from goldenami.aws import instances
from goldenami.aws import launch_templates as templates
from goldenami.aws import load_balancers as balancers
from goldenami.aws import run_command as commands
from goldenami.context import Shop
from goldenami.database import backup, volume
from goldenami.database import freeze as pausing
from goldenami.database import relocate as moving
from goldenami.database import transfer as carrying
from goldenami.database.switchover_model import Handover
from goldenami.errors import GateError
from goldenami.infra import wait as serving
from goldenami.model.fleet import Group

# What a group does by itself, and must not do while two of its instances hold the same rows.
BY_ITSELF = (
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
)


def token(handover: Handover) -> str:
    """The client token of the instance that a handover launches: it finds it again, whoever looks."""
    return f"{handover.run}-handover"


def left(shop: Shop) -> bool:
    """Whether somebody has left a handover half-way, or writes that are stopped."""
    return carrying.find(shop) is not None or pausing.find(shop) is not None


def settle(shop: Shop) -> bool:
    """End what somebody has left: a pause, and a handover: on, if the rows have arrived, else back. Safe to repeat.

    Returns:
        Whether anything was left.

    Raises:
        GateError: The instance with the rows does not serve; or it has ended, and its rows with it.
    """
    paused = pausing.settle(shop) is not None
    handover = carrying.find(shop)
    if handover is None:
        return paused
    for instance in filter(None, (handover.source, handover.target)):
        commands.settle(shop.aws, shop.clock, instance)
    if handover.by == "volume" and _outlived(shop, handover):
        return True
    if handover.home == "instance" and _ended(shop, handover):
        return True
    if handover.done:
        shop.progress.say(f"a handover was left when its rows had arrived on {handover.target}: going on with it")
        finish(shop, moving.again(shop, handover))
    elif handover.back:
        shop.progress.say(f"a way back was left half-way; every row is on {handover.source}")
        carrying.give_back(shop, handover)
        finish(shop, handover.stayed(_version(shop, handover.source, handover.version)))
    else:
        abandon(shop, handover)
    return True


def _outlived(shop: Shop, handover: Handover) -> Handover | None:
    """A volume outlives its instance: when the one that was to have it has ended meanwhile, the other takes it.

    Returns:
        What was settled so; None where that one stands, or nothing has moved yet.
    """
    if handover.step == "launching" or not instances.gone(shop.aws, handover.truth):
        return None
    other = handover.source if handover.done else handover.target
    group = groups.get(shop.aws, shop.names.group)
    if instances.gone(shop.aws, other):
        shop.progress.say(f"both instances of a handover have ended: {shop.names.group} launches one for the volume")
        if group is not None:
            # Not one for each of the two that were in it: the desired size goes down with the maximum.
            groups.update(shop.aws, {"AutoScalingGroupName": group.name, "MaxSize": handover.max})
            groups.resume(shop.aws, group.name, [p for p in BY_ITSELF if p not in handover.alone])
            serving.wait(shop)
            _release(shop, group, handover.max, handover.alone)
        carrying.forget(shop)
        return handover
    shop.progress.say(f"{handover.truth} has ended; {other} takes the volume with every row")
    volume.house(shop, other)
    carrying.open_again(shop, other)
    return _over_to(shop, handover, other)


def _ended(shop: Shop, handover: Handover) -> Handover | None:
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
    saved = None if handover.done else backup.kept(shop, carrying.backup_id(handover))
    copied = saved is not None or handover.done or handover.back
    if instances.gone(shop.aws, other) or not copied:
        for one in instances.launched_with(shop.aws, token(handover)):
            instances.terminate(shop.aws, shop.clock, one.id)
        if (group := groups.get(shop.aws, shop.names.group)) is not None:
            _release(shop, group, handover.max, handover.suspended)
        carrying.forget(shop)
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
        carrying.receive(shop, other, saved, replace=handover.replaces)
    else:
        shop.progress.say(
            f"{ended} has ended, and what was written on it since it took over is LOST with its disk; {other} serves again"
            " with every row from before"
        )
    carrying.open_again(shop, other)
    return _over_to(shop, handover, other)


def _over_to(shop: Shop, handover: Handover, other: str) -> Handover:
    """The one with the rows has ended, and the other has them now: the rest of a handover to that one."""
    if handover.done:
        handover = handover.outlived(_version(shop, other, handover.version))
    handover = carrying.note(shop, handover.at("opened"))
    finish(shop, handover)
    return handover


def _version(shop: Shop, instance: str, otherwise: int) -> int:
    """The version of the launch template that a member of the group runs; another where it is none."""
    group = groups.get(shop.aws, shop.names.group)
    return next((m.version for m in group.members if m.id == instance), otherwise) if group else otherwise


def abandon(shop: Shop, handover: Handover) -> None:
    """Before the rows have arrived: the source serves on, and what was launched goes.

    A source that has ended, and left its rows on a server or a volume, is replaced by its group as soon as that may again.
    """
    if handover.step == "moving" and (handover.home == "instance" or not instances.gone(shop.aws, handover.source)):
        carrying.give_back(shop, handover)
    there = instances.launched_with(shop.aws, token(handover))
    moving.undo(shop, handover, [one.id for one in there])
    for one in there:
        instances.terminate(shop.aws, shop.clock, one.id)
    group = groups.get(shop.aws, shop.names.group)
    if group is not None:
        _release(shop, group, handover.max, handover.suspended)
    carrying.forget(shop)


def finish(shop: Shop, handover: Handover) -> None:
    """After the rows have arrived: the target is the group's one instance, of its version, or takes the requests without one;
    the source goes.
    """
    group = groups.get(shop.aws, shop.names.group)
    if group is not None:
        attach(shop, handover)
        group = groups.get(shop.aws, shop.names.group) or group
        if any(m.id == handover.source for m in group.members):
            groups.detach(shop.aws, group.name, handover.source)
        most = moving.most(shop, handover)
        point(shop, group, handover.version, most)
        _release(shop, group, most, handover.alone)
    elif targets := balancers.get_target_group(shop.aws, shop.names.target_group):
        balancers.register(shop.aws, targets, handover.target)
        balancers.deregister(shop.aws, shop.clock, targets, handover.source)
    if handover.back:
        moving.undo(shop, handover, [handover.source])
    instances.terminate(shop.aws, shop.clock, handover.source)
    if not handover.back:
        moving.leave(shop, handover)
    carrying.forget(shop)


def attach(shop: Shop, handover: Handover) -> None:
    """Make room for one more, and let the target in."""
    group = groups.get(shop.aws, shop.names.group)
    if group is None or any(m.id == handover.target for m in group.members):
        return
    groups.suspend(shop.aws, group.name, BY_ITSELF)
    if group.max < group.desired + 1:
        groups.update(shop.aws, {"AutoScalingGroupName": group.name, "MaxSize": group.desired + 1})
    groups.attach(shop.aws, group.name, handover.target)


def point(shop: Shop, group: Group, version: int, most: int) -> None:
    """What the group launches from now on, and how many at most."""
    template = templates.get(shop.aws, shop.names.template)
    assert template is not None
    wanted = {"LaunchTemplateId": template.id, "Version": str(version)}
    groups.update(shop.aws, {"AutoScalingGroupName": group.name, "MaxSize": most, "LaunchTemplate": wanted})


def _release(shop: Shop, group: Group, most: int, still: Sequence[str]) -> None:
    """Let the group do again by itself what it may: to mark whoever is not well, for good, and to replace those."""
    serving.seem_well(shop, group.grace)
    if group.max != most:
        groups.update(shop.aws, {"AutoScalingGroupName": group.name, "MaxSize": most})
    groups.resume(shop.aws, group.name, [p for p in BY_ITSELF if p not in still])
