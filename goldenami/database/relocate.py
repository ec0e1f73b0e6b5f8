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


def prepare(shop: Context, handover: Switchover) -> None:
    """Before the new instance is launched: it has to find the new home. Nothing that serves reads any of this."""
    move = handover.move
    if move is None:
        return
    if move.to != "instance":  # on the way back the old instance still needs what the recipe names no more
        role.ensure_role(shop)
    if move.to == "volume":
        volume.ensure_volume(shop, network.find_network(shop), handover.run)
    if move.parameter:
        parameters.overwrite(shop.aws, move.parameter, move.host)
        shop.progress.say(f"{move.parameter} says {move.host}, and said {move.former or 'nothing'}")


def verify_target(shop: Context, handover: Switchover) -> None:
    """Before anybody's writes stop: the new instance really lives where the data is to go, and what is there is saved.

    Raises:
        GateError: It does not, or what is there cannot be saved.
    """
    move, new = handover.move, handover.target
    if move is None:
        return
    found = agent.run(shop, new, "look")["home"]
    if found != move.to:
        raise GateError(f'{new} keeps its data in mode "{found}", not "{move.to}": the image was baked for that')
    if move.to == "volume":
        volume.attach_and_mount(shop, new)
        rows = agent.run(shop, new, "look")["rows"]
        if rows and not move.replace:
            raise GateError(
                f"the volume holds {rows} row(s) already",
                next="the same command with --replace, which puts yours in their place after a backup of them",
            )
    if move.replace:
        agent.ensure_backup_bucket(shop)
        former = backup.take_backup(shop, new, f"{handover.run}-before", f"before db.migrate --to {move.to}")
        shop.progress.say(f"what the new home holds is in the backup {former.id}")


def relaunch_target(shop: Context, handover: Switchover) -> Switchover:
    """The new instance has ended, and its rows have not gone with it: another one takes its place, with the volume or without.

    Raises:
        GateError: The other one refuses what is on the volume, or is not well with it; the next attempt finds it again.
    """
    move = handover.move
    gone = instances.gone(shop.aws, handover.target)
    group = auto_scaling.get(shop.aws, shop.names.group)
    if move is None or move.to == "instance" or handover.back or not gone or group is None:
        return handover
    if any(m.id == handover.target for m in group.members):
        auto_scaling.detach(shop.aws, group.name, handover.target)
    subnet, token = network.find_network(shop).subnets[0], f"{handover.run}-again"
    new = instances.launch_from_template(shop.aws, group.template_id, handover.version, subnet, token)
    shop.progress.say(
        f"{handover.target} has ended, and the {_SURVIVES_TERMINATION[move.to]} has every row: {new.id} takes its place"
    )
    instances.wait_running(shop.aws, shop.clock, new.id)
    if move.to == "volume":  # written down only once it has the volume: whoever is written down joins the group
        volume.attach_and_mount(shop, new.id)
        transfer.resume_service(shop, new.id)
    return transfer.save(shop, replace(handover, target=new.id))


def max_size(shop: Context, handover: Switchover) -> int:
    """How many instances the group may have from now on: where the data is on one, another would have another truth."""
    moved = handover.move is not None and not handover.back
    return shop.recipe.fleet.max if moved and shop.recipe.database.on_instance else handover.max


def release_source(shop: Context, handover: Switchover) -> None:
    """The data has moved for good: a volume that it was on is nobody's, so that no later instance takes it for the truth."""
    found = volume.find_volume(shop) if handover.move is not None and handover.move.left == "volume" else None
    if found is not None:
        images.untag(shop.aws, [found.id], [image.VOLUME_TAG])
        shop.progress.say(
            f"{found.id} keeps what was there when the rows left; nobody uses it any more, so delete it some day"
        )


def undo(shop: Context, handover: Switchover, launched: Sequence[str]) -> None:
    """The data stays, or is again, where it was: what has arrived in the new home is marked as out of date. Safe to repeat."""
    move = handover.move
    if move is None:
        return
    if move.to != "instance" and handover.step != "launching":
        for instance in launched:
            try:
                agent.run(shop, instance, "leave", backup=transfer.backup_id(handover))
            except GoldenError as error:
                shop.progress.say(
                    f"{instance} cannot say whether rows are left in the new home ({error.message}); if so, the next"
                    " ./invoke db.migrate refuses them unless --replace is given"
                )
    now = parameters.get(shop.aws, move.parameter) if move.parameter else None
    if now is None or now.value != move.host:
        return
    if move.former:
        parameters.overwrite(shop.aws, move.parameter, move.former)
    else:
        parameters.delete(shop.aws, move.parameter)
    shop.progress.say(f"{move.parameter} says {move.former or 'nothing'} again")
