"""What a move of the data to another home takes beside the rows: the role, the server's host name, the old rows set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from goldenami.aws import auto_scaling, images, instances, parameters
from goldenami.context import Context
from goldenami.database import agent, backup, transfer, volume
from goldenami.database.switchover_model import Switchover
from goldenami.errors import GateError, GoldenError
from goldenami.infra import network, role
from goldenami.model import image

# What has the rows also when the instance that wrote them has ended.
_SURVIVES_TERMINATION = {"rds": "server", "volume": "volume"}


def prepare(ctx: Context, switchover: Switchover) -> None:
    """Before the new instance is launched: it has to find the new home. Nothing that serves reads any of this."""
    move = switchover.storage_change
    if move is None:
        return
    if move.mode != "instance":  # on the way back the old instance still needs what the recipe names no more
        role.ensure_role(ctx)
    if move.mode == "volume":
        volume.ensure_volume(ctx, network.find_network(ctx), switchover.run)
    if move.parameter:
        parameters.overwrite(ctx.aws, move.parameter, move.host)
        ctx.progress.info(f"{move.parameter} says {move.host}, and said {move.previous_host or 'nothing'}")


def verify_target(ctx: Context, switchover: Switchover) -> None:
    """Before anybody's writes stop: the new instance really lives where the data is to go, and what is there is saved.

    Raises:
        GateError: It does not, or what is there cannot be saved.
    """
    move, new = switchover.storage_change, switchover.target
    if move is None:
        return
    found = agent.run(ctx, new, "inspect")["storage_mode"]
    if found != move.mode:
        raise GateError(f'{new} keeps its data in mode "{found}", not "{move.mode}": the image was baked for that')
    if move.mode == "volume":
        volume.attach_and_mount(ctx, new)
        rows = agent.run(ctx, new, "inspect")["rows"]
        if rows and not move.replace:
            raise GateError(
                f"the volume holds {rows} row(s) already",
                next="the same command with --replace, which puts yours in their place after a backup of them",
            )
    if move.replace:
        agent.ensure_backup_bucket(ctx)
        former = backup.take_backup(ctx, new, f"{switchover.run}-before", f"before db.migrate --to {move.mode}")
        ctx.progress.info(f"what the new home holds is in the backup {former.id}")


def relaunch_target(ctx: Context, switchover: Switchover) -> Switchover:
    """The new instance has ended, and its rows have not gone with it: another one takes its place, with the volume or without.

    Raises:
        GateError: The other one refuses what is on the volume, or is not well with it; the next attempt finds it again.
    """
    move = switchover.storage_change
    gone = instances.gone(ctx.aws, switchover.target)
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if move is None or move.mode == "instance" or switchover.is_reversal or not gone or group is None:
        return switchover
    if any(m.id == switchover.target for m in group.members):
        auto_scaling.detach(ctx.aws, group.name, switchover.target)
    subnet, token = network.find_network(ctx).subnets[0], f"{switchover.run}-again"
    new = instances.launch_from_template(ctx.aws, group.template_id, switchover.version, subnet, token)
    ctx.progress.info(
        f"{switchover.target} has ended, and the {_SURVIVES_TERMINATION[move.mode]} has every row: {new.id} takes its place"
    )
    instances.wait_running(ctx.aws, ctx.clock, new.id)
    if move.mode == "volume":  # written down only once it has the volume: whoever is written down joins the group
        volume.attach_and_mount(ctx, new.id)
        transfer.resume_service(ctx, new.id)
    return transfer.save(ctx, replace(switchover, target=new.id))


def max_size(ctx: Context, switchover: Switchover) -> int:
    """How many instances the group may have from now on: where the data is on one, another would have another truth."""
    moved = switchover.storage_change is not None and not switchover.is_reversal
    return ctx.recipe.fleet.max if moved and ctx.recipe.database.on_instance else switchover.max_size


def release_source(ctx: Context, switchover: Switchover) -> None:
    """The data has moved for good: a volume that it was on is nobody's, so that no later instance takes it for the truth."""
    found = (
        volume.find_volume(ctx)
        if switchover.storage_change is not None and switchover.storage_change.previous_mode == "volume"
        else None
    )
    if found is not None:
        images.untag(ctx.aws, [found.id], [image.VOLUME_TAG])
        ctx.progress.info(
            f"{found.id} keeps what was there when the rows left; nobody uses it any more, so delete it some day"
        )


def undo(ctx: Context, switchover: Switchover, launched: Sequence[str]) -> None:
    """The data stays, or is again, where it was: what has arrived in the new home is marked as out of date. Safe to repeat."""
    move = switchover.storage_change
    if move is None:
        return
    if move.mode != "instance" and switchover.step != "launching":
        for instance in launched:
            try:
                agent.run(ctx, instance, "discard", backup=transfer.backup_id(switchover))
            except GoldenError as error:
                ctx.progress.info(
                    f"{instance} cannot say whether rows are left in the new home ({error.message}); if so, the next"
                    " ./invoke db.migrate refuses them unless --replace is given"
                )
    now = parameters.get(ctx.aws, move.parameter) if move.parameter else None
    if now is None or now.value != move.host:
        return
    if move.previous_host:
        parameters.overwrite(ctx.aws, move.parameter, move.previous_host)
    else:
        parameters.delete(ctx.aws, move.parameter)
    ctx.progress.info(f"{move.parameter} says {move.previous_host or 'nothing'} again")
